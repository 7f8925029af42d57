"""Damages small files at random, opens each as a source, and tells what no file may do.

    .venv/bin/python tests/python/fuzz_sources.py tar --seconds 900
    .venv/bin/python tests/python/fuzz_sources.py tar --seed 1234

Every file is read to its end by a loader without workers, in a child process of limited memory. A file may be refused,
and samples may be bad; but no file may end the process, take longer than `HANG_SECONDS` or more memory than
`MEMORY_BYTES`, or raise what is no answer: a panic, or an exception that names nothing. What one did is printed with
its seed, of which the file is a function, and kept where `--keep` says.
"""

from __future__ import annotations

import argparse
import os
import random
import resource
import select
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import stokehold as sh
from fuzz_seeds import TARGETS, Files, Target

HANG_SECONDS: Final = 30.0
MEMORY_BYTES: Final = 512 << 20
"""How much more than at its begin a child may map."""

SAMPLE_BYTES: Final = "16MiB"
BATCHES: Final = 40
FILES_PER_CHILD: Final = 200

ANSWERS: Final = (ValueError, OSError, sh.DecodeError)
"""What a file may raise: it is not read, or a sample of it is not."""

EDGES: Final = [0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, *(2**n + d for n in (31, 32, 40, 63, 64) for d in (-1, 0))]


def damage(chance: random.Random, content: bytes, others: list[bytes]) -> bytes:
    """Changes a few things in a file's bytes."""
    data = bytearray(content)
    for _ in range(chance.choice([1, 1, 1, 2, 3, 8])):
        at, size = chance.randrange(len(data) + 1), chance.choice([1, 2, 4, 8, 16, 100, chance.randrange(1000)])
        match chance.randrange(9):
            case 0 | 1 if data:
                data[at % len(data)] ^= 1 << chance.randrange(8)
            case 2 if data:
                data[at % len(data)] = chance.choice([0, 0x7F, 0x80, 0xFF, chance.randrange(256)])
            case 3:  # A number at an edge, where a length or an offset may be.
                width, order = chance.choice([1, 2, 4, 8]), chance.choice(["little", "big"])
                number = (chance.choice(EDGES) + chance.choice([0, 0, len(data)])) % (1 << 8 * width)
                data[at : at + width] = number.to_bytes(width, "little" if order == "little" else "big")
            case 4:
                del data[at : len(data) if chance.random() < 0.3 else at + size]
            case 5:  # A piece comes twice, or elsewhere.
                data[at:at] = data[(start := chance.randrange(len(data) + 1)) : start + size]
            case 6:
                other = chance.choice(others)
                start = chance.randrange(len(other) + 1)
                data[at : at + chance.choice([0, size])] = other[start : start + size]
            case 7:  # Digits become others.
                found = [place for place, byte in enumerate(data) if chr(byte).isdigit()]
                for place in chance.sample(found, min(len(found), chance.randint(1, 4))):
                    data[place] = chance.choice(b"0123456789-")
            case _:
                data[at:at] = chance.randbytes(size)
    return bytes(data)


def made(target: Target, name: str, seed: int, folder: Path) -> None:
    """Writes the files of this seed."""
    chance = random.Random(f"{name}:{seed}")
    files = dict(chance.choice(target.seeds))
    victim = chance.choice([name for name in files if name not in target.kept])
    others = [other for each in target.seeds for other in each.values()]
    files[victim] = damage(chance, files[victim], others)
    if target.repair is not None and chance.random() < target.repaired:
        with suppress(ValueError, IndexError, OverflowError):
            files[victim] = target.repair(files[victim])
    write(folder, target.packed(files) if target.packed else files)


def write(folder: Path, files: Files) -> None:
    for name, content in files.items():
        (folder / name).write_bytes(content)


def read(target: Target, folder: Path) -> str:
    """Opens a source and reads all of it; returns how that ended, for a count."""
    source = target.open(folder)
    bad = 0
    transforms: Any = {**{name: [sh.CenterCrop(8)] for name in target.images}, **target.transforms(folder)}
    options: dict[str, Any] = {"memory_limit": "64MiB", "max_sample_bytes": SAMPLE_BYTES, "transforms": transforms}
    options["capacity"] = dict(target.capacity)
    with sh.Loader(source, batch_size=2, num_workers=0, **options) as loader:
        batches = iter(loader)
        for _ in range(BATCHES):
            try:
                next(batches)
            except StopIteration:
                break
            except ANSWERS as error:
                if "panicked" in str(error):
                    raise AssertionError(str(error)) from error
                bad += 1
    return "bad samples" if bad else "read"


def child(target: Target, name: str, seeds: range, pipe: int, folder: Path) -> None:
    """Tries some files, and tells of each when it begins, and how it ended."""
    with Path("/proc/self/statm").open() as file:
        mapped = int(file.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (mapped + MEMORY_BYTES, mapped + MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for seed in seeds:
        for path in folder.iterdir():
            path.unlink()
        made(target, name, seed, folder)
        os.write(pipe, f"{seed} begins\n".encode())
        try:
            ended = read(target, folder)
        except ANSWERS as error:
            ended = "refused" if "panicked" not in str(error) else f"! {error}"
        except MemoryError as error:
            # A file may well have rows that do not fit the loader's limit; nothing else may lack memory.
            ended = "refused" if "memory_limit" in str(error) else f"! MemoryError: {error}"
        except BaseException as error:  # noqa: BLE001  # A panic is no Exception.
            ended = f"! {type(error).__name__}: {error}"
        os.write(pipe, f"{seed} {' '.join(ended.split())[:300]}\n".encode())


def attend(target: Target, name: str, seeds: range, folder: Path, tell: Callable[[int, str], None]) -> int:
    """Has a child try these, tells how each ended, and returns the seed to go on with."""
    ours, theirs = os.pipe()
    pid = os.fork()
    if pid == 0:
        with suppress(BaseException):
            child(target, name, seeds, theirs, folder)
        os._exit(0)
    os.close(theirs)
    current, told, rest = seeds.start, True, b""
    while True:
        ready, _, _ = select.select([ours], [], [], HANG_SECONDS)
        if not ready:
            os.kill(pid, signal.SIGKILL)
        got = os.read(ours, 1 << 16)
        if not got:
            break
        *lines, rest = (rest + got).split(b"\n")
        for line in lines:
            seed, _, how = line.decode(errors="replace").partition(" ")
            current, told = int(seed), how != "begins"
            if told:
                tell(current, how)
    os.close(ours)
    _, status = os.waitpid(pid, 0)
    if not told:
        ended = os.waitstatus_to_exitcode(status)
        tell(current, "! it hung" if ended == -signal.SIGKILL else f"! the process ended with {ended}")
    elif current + 1 < seeds.stop and status:
        tell(current, f"! the process ended with {os.waitstatus_to_exitcode(status)}")
    return current + 1


def main() -> int:
    """Tries files until the time is over; the exit code says whether one did what it may not."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("target", choices=sorted(TARGETS))
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--files", type=int, default=1 << 62, help="end after so many files")
    parser.add_argument("--first", type=int, default=0, help="the seed to begin with")
    parser.add_argument("--seed", type=int, help="only this file, in this process, with what it raises")
    parser.add_argument("--keep", type=Path, help="a folder for files that did what none may")
    given = parser.parse_args()
    target, name = TARGETS[given.target](), given.target
    counts: Counter[str] = Counter()
    with tempfile.TemporaryDirectory(prefix="fuzz-") as where:
        folder = Path(where)
        for files in target.seeds:  # As they are, they are read.
            write(folder, target.packed(files) if target.packed else files)
            assert read(target, folder) == "read", f"{name}: a seed is not read"
            for path in folder.iterdir():
                path.unlink()
        if given.seed is not None:
            made(target, name, given.seed, folder)
            print(read(target, folder))
            return 0

        def tell(seed: int, how: str) -> None:
            counts[how if not how.startswith("!") else "FAULTS"] += 1
            if how.startswith("!"):
                print(f"{name} --seed {seed}: {how[2:]}", flush=True)
                if given.keep is not None:
                    kept = given.keep / f"{name}-{seed}"
                    kept.mkdir(parents=True, exist_ok=True)
                    made(target, name, seed, kept)

        begun, seed = time.monotonic(), given.first
        end = seed + given.files
        while time.monotonic() - begun < given.seconds and seed < end:
            seed = attend(target, name, range(seed, min(end, seed + FILES_PER_CHILD)), folder, tell)
    total = sum(counts.values())
    shown = ", ".join(f"{count} {how}" for how, count in sorted(counts.items()))
    print(f"{name}: {total} files from seed {given.first} in {time.monotonic() - begun:.0f} s: {shown}", flush=True)
    return 1 if counts["FAULTS"] else 0


if __name__ == "__main__":
    sys.exit(main())
