"""What every peer's script has in common: its arguments, how it is measured, and the one JSON line that it prints.

A script gives `run` a function that makes an endless iterator of batches. Only the standard library is imported here,
because this runs in every peer's own environment. With `--turns`, a script measures when it is told to, and not else,
so that many take turns without being started again.
"""

import argparse
import contextlib
import importlib.metadata
import json
import os
import platform
import re
import signal
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TICK = os.sysconf("SC_CLK_TCK")
BATCH = 64
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)
SCALE = (0.08, 1.0)
RATIO = (3 / 4, 4 / 3)
# How many batches at least, and for how long, are thrown away at the beginning of a turn.
AHEAD = 8
WARM_SECONDS = 0.3


@dataclass(frozen=True)
class Job:
    """What one process measures."""

    # The folder of a set, with `images` and `shards`.
    data: Path
    variant: str
    # "W1": RandomResizedCrop 224 and flip. "W2": Resize 256 and CenterCrop 224. "decode": whole images, one thread.
    workload: str
    # "u8", or "f32": normalised, NCHW unless the peers' table says otherwise.
    dtype: str
    workers: int
    seconds: float
    windows: int
    # Only write what the peer needs beside the set, such as a file of its own format.
    prepare: bool
    # Measure for as many seconds as each line of the standard input says.
    turns: bool

    @property
    def files(self) -> list[str]:
        """The images' paths, sorted."""
        return sorted(str(path) for path in (self.data / "images").rglob("*.jpg"))

    @property
    def labels(self) -> list[int]:
        """The class of each of `files`."""
        names = [Path(path).parent.name for path in self.files]
        numbers = {name: number for number, name in enumerate(sorted(set(names)))}
        return [numbers[name] for name in names]


def job() -> Job:
    """Reads the arguments of a peer's script."""
    parser = argparse.ArgumentParser()
    parser.add_argument("data", type=Path)
    parser.add_argument("variant")
    parser.add_argument("workload", choices=["W1", "W2", "decode", "numbers", "members", "tokens"])
    parser.add_argument("dtype", choices=["u8", "f32"])
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--windows", type=int, default=2)
    parser.add_argument("--prepare", action="store_true")
    parser.add_argument("--turns", action="store_true")
    return Job(**vars(parser.parse_args()))


def run(
    job: Job,
    batches: Callable[[], Iterator[Any]],
    rows: Callable[[Any], int] = len,
    packages: tuple[str, ...] = (),
    *,
    whole: bool = False,
) -> None:
    """Measures what `batches` yields and prints the result as one line of JSON.

    The first window is thrown away. The consumer reads a few bytes of every batch (`touch`) and does nothing else.
    `whole` is for peers that make more in advance than any window holds: `batches` gives one epoch, and all of it, its
    beginning included, is what is measured at each turn.
    """
    begun = time.perf_counter()
    iterator = batches()
    first = next(iterator)
    touch(first)
    first_batch = time.perf_counter() - begun
    said = {
        "first_batch_s": first_batch,
        "batch": described(first),
        "versions": {"python": platform.python_version()}
        | {name: importlib.metadata.version(name) for name in packages},
    }
    del first
    if job.turns:
        take_turns(batches if whole else iterator, rows, said)
    else:
        print(json.dumps(windows(job, iterator, rows) | said), flush=True)
    # What was to be measured has been. Some peers' threads and processes do not end by themselves.
    for pid in tree()[1:]:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    os._exit(0)


def windows(job: Job, iterator: Iterator[Any], rows: Callable[[Any], int]) -> dict[str, Any]:
    """Measures one window after the other."""
    rates, cpu, images_in_all = [], 0.0, 0
    for number in range(job.windows + 1):
        images, taken, used = window(iterator, rows, job.seconds)
        if number:
            rates.append(images / taken)
            cpu += used
            images_in_all += images
    return {
        "images_per_s": rates,
        "cpu_s_per_1000": 1e3 * cpu / images_in_all,
        "pss_mb": sum(pss(pid) for pid in tree()) / 1e6,
    }


def window(iterator: Iterator[Any], rows: Callable[[Any], int], seconds: float) -> tuple[int, float, float]:
    """Takes batches for some seconds, and returns the images, the seconds, and those of processors."""
    images, used, begun = 0, cpu_seconds(), time.perf_counter()
    while (taken := time.perf_counter() - begun) < seconds:
        batch = next(iterator)
        touch(batch)
        images += rows(batch)
        del batch
    return images, taken, cpu_seconds() - used


def take_turns(
    batches: Iterator[Any] | Callable[[], Iterator[Any]], rows: Callable[[Any], int], said: dict[str, Any]
) -> None:
    """Says that it is ready; then measures at each line of the standard input, until that ends.

    What was made while it was another's turn does not count: no peer makes as much in advance as is thrown away.
    """
    print(json.dumps({"turns": said}), flush=True)
    for line in sys.stdin:
        if callable(batches):
            images, taken, used = epoch(batches, rows)
        else:
            begun, thrown = time.perf_counter(), 0
            while thrown < AHEAD or time.perf_counter() - begun < WARM_SECONDS:
                touch(next(batches))
                thrown += 1
            images, taken, used = window(batches, rows, float(line))
        print(json.dumps({"turn": {"rate": images / taken, "cpu_s_per_1000": 1e3 * used / images}}), flush=True)


def epoch(batches: Callable[[], Iterator[Any]], rows: Callable[[Any], int]) -> tuple[int, float, float]:
    """Takes all batches of an epoch, and returns the images, the seconds, and those of processors."""
    images, used, begun = 0, cpu_seconds(), time.perf_counter()
    for batch in batches():
        touch(batch)
        images += rows(batch)
    return images, time.perf_counter() - begun, cpu_seconds() - used


def images_of(batch: Any) -> Any:
    """Returns the images of a batch, which peers give as an array, a tuple or a dictionary."""
    if isinstance(batch, dict):
        return batch.get("image", next(iter(batch.values())))
    return batch[0] if isinstance(batch, (list, tuple)) else batch


def touch(batch: Any) -> None:
    """Reads one row of pixels of a batch, or all of its first column of numbers."""
    images = images_of(batch)
    (images[0][0] if len(getattr(images, "shape", (0, 0))) > 1 else images).sum()


def described(batch: Any) -> str:
    """Returns the shape and the type of a batch's images, as `run` reports them."""
    images = images_of(batch)
    kind = re.sub("torch.|<dtype: '|'>", "", str(getattr(images, "dtype", getattr(images[0], "dtype", "?"))))
    shape = getattr(images, "shape", None)
    return f"{kind} {tuple(shape) if shape is not None else (len(images), *images[0].shape)}"


def tree() -> list[int]:
    """Returns this process and all that descend from it."""
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            parents[int(entry.name)] = int(fields[1])
    found = [os.getpid()]
    for pid in found:
        found.extend(child for child, parent in parents.items() if parent == pid)
    return found


def cpu_seconds() -> float:
    """Returns the CPU time of the process tree, that of waited-for children included."""
    ticks = 0
    for pid in tree():
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        ticks += sum(int(field) for field in fields[11:15])
    return ticks / TICK


def pss(pid: int) -> int:
    """Returns the proportional set size of a process in bytes."""
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return 0
    found = re.search(r"^Pss:\s+(\d+)", text, re.MULTILINE)
    return 1024 * int(found[1]) if found else 0
