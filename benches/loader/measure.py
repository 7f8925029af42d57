"""What does a loader deliver, and what does it cost the trainer?

    .venv/bin/python benches/loader/measure.py [--seconds 3] [--rounds 5]

Each figure stands beside its limit, taken in the same run, and both are taken in turns. Prints Markdown tables.

- Bandwidth: batches of 64 rows of 3x224x224 float32 (38.5 MB) from `Arrays`, shuffled, an idle consumer. The limit is
  as many processes that do nothing but copy rows of the same size, chosen at random, from shared memory into six slots
  of shared memory in turn.
- Start: constructor to first batch for 8 JPEG files, in a small trainer and in one of 4 GB; the gap between two epochs.
- Trainer: what taking a batch, making a view and dropping both costs when the batch is ready.
- Workers: the memory that one has to itself after an epoch of photographs, and its descriptors.
- Photographs: images/s with 1 and 2 workers, beside the same pipeline in one process without any machinery.
"""

import argparse
import gc
import mmap
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

import stokehold as sh

sys.path.insert(0, str(Path(__file__).parents[2] / "examples"))
from images import write_photos

ROW = (3, 224, 224)
ROWS = 512
BATCH = 64
SLOTS = 6
# A training step on a batch of photographs, a little longer than the workers take to make one.
STEP = 0.05
# How long photographs are loaded for one figure.
PHOTO_SECONDS = 1.5
AUGMENT = {"image": [sh.RandomResizedCrop(224), sh.RandomHorizontalFlip()]}


def main() -> None:
    """Measures everything and prints it."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    print(f"stokehold {sh.__version__}, Python {platform.python_version()}, NumPy {np.__version__}, {processor()}\n")
    bandwidth(arguments.seconds, arguments.rounds)
    with tempfile.TemporaryDirectory() as folder:
        photos = write_photos(Path(folder) / "photos", 300)
        few = write_photos(Path(folder) / "few", 8)
        start(few, photos, arguments.rounds)
        trainer()
        photographs(photos, arguments.rounds)
        workers(photos)


def processor() -> str:
    """Returns what the machine is."""
    names = [
        line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line
    ]
    return f"{len(names)} x {names[0]}, Linux {platform.release()}"


def shared_zeros(count: int) -> np.ndarray:
    """Returns rows in shared memory that all processes forked later see."""
    memory = mmap.mmap(-1, count * int(np.prod(ROW)) * 4)
    rows = np.frombuffer(memory, np.float32).reshape(count, *ROW)
    rows[:] = 1.0
    return rows


def copy_limit(source: np.ndarray, processes: int, seconds: float) -> float:
    """Returns the GB/s that processes copy together."""
    rows_copied = mmap.mmap(-1, 8 * processes)
    children = []
    for number in range(processes):
        pid = os.fork()
        if pid == 0:
            slots = shared_zeros(SLOTS * BATCH // processes)
            order = np.random.default_rng(number).integers(0, len(source), 4096)
            done, deadline = 0, time.perf_counter() + seconds
            while time.perf_counter() < deadline:
                for _ in range(16):
                    np.copyto(slots[done % len(slots)], source[order[done % 4096]])
                    done += 1
            np.frombuffer(rows_copied, np.int64)[number] = done
            os._exit(0)
        children.append(pid)
    for pid in children:
        os.waitpid(pid, 0)
    return float(np.frombuffer(rows_copied, np.int64).sum() * source[0].nbytes / seconds / 1e9)


def delivered(loader: sh.Loader, seconds: float) -> float:
    """Returns the GB/s that a loader delivers to a consumer that only takes batches."""
    rows, begun = 0, time.perf_counter()
    while time.perf_counter() - begun < seconds:
        rows += sum(batch.rows for batch in loader)
    return rows * int(np.prod(ROW)) * 4 / (time.perf_counter() - begun) / 1e9


def bandwidth(seconds: float, rounds: int) -> None:
    """Arrays through one and two workers, beside the copies of as many processes."""
    source = shared_zeros(ROWS)
    arrays = sh.Arrays({"x": source})
    print("| workers | copy limit GB/s | delivered GB/s | share of the limit, each round |\n| --: | --: | --: | --- |")
    for count in (1, 2):
        with sh.Loader(arrays, batch_size=BATCH, shuffle=True, num_workers=count) as loader:
            delivered(loader, 0.5)
            pairs = []
            for _ in range(rounds):
                limit = copy_limit(source, count, seconds)
                pairs.append((limit, delivered(loader, seconds)))
        limits, figures = zip(*pairs, strict=True)
        shares = ", ".join(f"{100 * figure / limit:.0f} %" for limit, figure in pairs)
        print(f"| {count} | {statistics.median(limits):.1f} | {statistics.median(figures):.1f} | {shares} |")
    print()


def times(run: Callable[[], float], rounds: int) -> str:
    """Returns the median and the range of what a measurement returns, in milliseconds."""
    taken = sorted(run() * 1e3 for _ in range(rounds))
    return f"{statistics.median(taken):.1f} ({taken[0]:.1f}-{taken[-1]:.1f})"


def start(folder: Path, photos: Path, rounds: int) -> None:
    """Constructor to first batch, and one epoch to the next."""

    def first_batch() -> float:
        begun = time.perf_counter()
        loader = sh.Loader(sh.ImageFolder(folder), batch_size=8, transforms=AUGMENT, num_workers=2)
        next(iter(loader))
        taken = time.perf_counter() - begun
        loader.close()
        return taken

    def gap_of(loader: sh.Loader, step: float) -> Callable[[], float]:
        def gap() -> float:
            for _ in loader:
                time.sleep(step)
            begun = time.perf_counter()
            next(iter(loader))
            return time.perf_counter() - begun

        return gap

    small = times(first_batch, 4 * rounds)
    ballast = np.ones(4 << 30, np.uint8)
    large = times(first_batch, 4 * rounds)
    del ballast
    gc.collect()
    tiny = sh.Arrays({"x": np.zeros((5120, 16), np.int64)})
    with sh.Loader(tiny, batch_size=256, shuffle=True, num_workers=2) as loader:
        arrays = times(gap_of(loader, 0), 10 * rounds)
    with sh.Loader(sh.ImageFolder(photos), batch_size=BATCH, transforms=AUGMENT, num_workers=2) as loader:
        images = times(gap_of(loader, STEP), 10 * rounds)
    print("| start, 2 workers | ms, median (range) |\n| --- | --: |")
    print(f"| constructor to first batch, 8 JPEG files | {small} |")
    print(f"| the same in a trainer of 4 GB | {large} |")
    print(f"| end of an epoch to the next one's first batch, 20 batches of 256 small rows | {arrays} |")
    print(f"| the same, photographs and a trainer that takes {1e3 * STEP:.0f} ms a batch of {BATCH} | {images} |\n")


def trainer() -> None:
    """What a ready batch costs the trainer."""
    arrays = sh.Arrays({"x": np.zeros((64 * 200, 16), np.int64), "y": np.zeros(64 * 200, np.int64)})
    taken = []
    with sh.Loader(arrays, batch_size=64, num_workers=2, prefetch=64) as loader:
        for _ in range(20):
            batches = iter(loader)
            time.sleep(0.05)
            for _ in range(60):
                begun = time.perf_counter()
                batch = next(batches)
                batch["x"], batch["y"]
                del batch
                taken.append((time.perf_counter() - begun) * 1e6)
    taken.sort()
    print("| trainer | us, median (90th percentile) |\n| --- | --: |")
    print(f"| take, two NumPy views, drop | {statistics.median(taken):.1f} ({taken[len(taken) * 9 // 10]:.1f}) |\n")


def photographs(folder: Path, rounds: int) -> None:
    """Images per second, beside the pipeline alone."""
    counts = (0, 1, 2)
    loaders = {
        count: sh.Loader(
            sh.ImageFolder(folder),
            batch_size=BATCH,
            shuffle=True,
            drop_last=True,
            transforms=AUGMENT,
            num_workers=count,
        )
        for count in counts
    }
    rates: dict[int, list[float]] = {count: [] for count in counts}
    for _ in range(rounds + 1):
        for count, loader in loaders.items():
            images, begun = 0, time.perf_counter()
            while time.perf_counter() - begun < PHOTO_SECONDS:
                images += sum(batch.rows for batch in loader)
            rates[count].append(images / (time.perf_counter() - begun))
            time.sleep(0.2)
    for loader in loaders.values():
        loader.close()
    alone = statistics.median(rates[0][1:])
    print("| photographs, 224 px crops | images/s | against one process alone |\n| --- | --: | --: |")
    for count in counts:
        rate = statistics.median(rates[count][1:])
        print(f"| {count} workers | {rate:.0f} | {rate / alone:.2f} |")
    print()


def workers(folder: Path) -> None:
    """A worker's own memory and its descriptors."""
    with sh.Loader(sh.ImageFolder(folder), batch_size=BATCH, shuffle=True, transforms=AUGMENT, num_workers=2) as loader:
        next(iter(loader))
        pids = [worker["pid"] for worker in loader.stats()["workers"]]
        before = [descriptors(pid) for pid in pids]
        for _ in range(3):
            for _ in loader:
                pass
        after = [descriptors(pid) for pid in pids]
        private = [private_bytes(pid) / 2**20 for pid in pids]
    print("| worker | |\n| --- | --: |")
    print(f"| memory of its own, decode scratch included | {max(private):.1f} MiB |")
    print(f"| descriptors after the first batch, and after 3 epochs | {max(before)}, {max(after)} |")


def descriptors(pid: int) -> int:
    """Returns how many descriptors a process has open."""
    return sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())


def private_bytes(pid: int) -> int:
    """Returns the memory that a process shares with no other; the arena is shared, whoever has touched a page."""
    private, counts = 0, False
    for line in Path(f"/proc/{pid}/smaps").read_text().splitlines():
        if line[0] in "0123456789abcdef" and "-" in line.split(" ", 1)[0]:
            counts = "memfd:stokehold" not in line
        elif counts and line.startswith("Private_"):
            private += int(line.split()[1]) * 1024
    return private


if __name__ == "__main__":
    main()
