"""How long does opening many samples take when their index is kept, and what memory?

    .venv/bin/python benches/sources/opening.py [--samples 10000000] [--only tar folder parquet]

Samples are written first: tar files of 100,000 members of 512 bytes (10 GB for 10 million), folders of 10,000 links to
an empty file, Parquet files of a million numbers. Each source is then opened twice by new processes: the first makes
the index, the second finds it; that of a folder is kept if it took more than a second, and Parquet files have their
own. Opening goes up to a loader that could give its first batch. Memory is what the process's resident memory, shared
memory included, has grown by. Prints a Markdown table.
"""

from __future__ import annotations

import argparse
import io
import os
import platform
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

import stokehold as sh

MEMBERS = 100_000
FILES = 10_000
ROWS = 1_000_000


def main() -> None:
    """Measures and prints the table; or, with `--open`, opens one source."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--samples", type=int, default=10_000_000)
    parser.add_argument("--only", nargs="+", choices=list(WRITERS), default=list(WRITERS))
    parser.add_argument("--folder", type=Path, help="where samples are written, and removed after that")
    parser.add_argument("--open", nargs=2, metavar=("KIND", "FOLDER"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.open:
        opened(given.open[0], Path(given.open[1]))
        return
    load = os.getloadavg()[0]
    print(f"stokehold {sh.__version__}, Python {platform.python_version()}, load {load:.1f}\n")
    print("| source | samples | first, s | from its index, s | bytes a sample |\n| --- | --: | --: | --: | --: |")
    for kind in given.only:
        with tempfile.TemporaryDirectory(dir=given.folder) as folder:
            WRITERS[kind](Path(folder), given.samples)
            first, second = (opening(kind, folder) for _ in range(2))
        per_sample = second[1] / given.samples
        print(f"| {kind} | {given.samples} | {first[0]:.2f} | {second[0]:.2f} | {per_sample:.0f} |", flush=True)


def opening(kind: str, folder: str) -> tuple[float, int]:
    """Returns the seconds and the bytes that a new process takes."""
    command = [sys.executable, __file__, "--open", kind, folder]
    words = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    return float(words[0]), int(words[1])


def opened(kind: str, folder: Path) -> None:
    """Opens a source, and prints the seconds and the bytes."""
    crop = {"image": [sh.RandomResizedCrop(8)]}
    cache = folder / "cache"
    before, start = resident(), time.perf_counter()
    if kind == "tar":
        source: sh.Source = sh.WebDataset(sorted(map(str, folder.glob("*.tar"))), {"data": "txt"}, cache=cache)
    elif kind == "folder":
        source = sh.ImageFolder(folder / "files", cache=cache)
    else:
        source = sh.Parquet(sorted(folder.glob("*.parquet")))
    chain = crop if kind == "folder" else None
    with sh.Loader(source, batch_size=64, shuffle=True, transforms=chain, num_workers=0):
        print(time.perf_counter() - start, resident() - before)


def resident() -> int:
    """Returns the memory of this process that is in use now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def write_tar(folder: Path, samples: int) -> None:
    """Writes tar files."""
    for start in range(0, samples, MEMBERS):
        with tarfile.open(folder / f"{start:09d}.tar", "w") as tar:
            for at in range(start, min(start + MEMBERS, samples)):
                member = tarfile.TarInfo(f"{at:09d}.txt")
                member.size = 512
                tar.addfile(member, io.BytesIO(bytes(512)))


def write_folder(folder: Path, samples: int) -> None:
    """Writes folders of files that are never read."""
    for start in range(0, samples, FILES):
        below = folder / "files" / f"{start:09d}"
        below.mkdir(parents=True)
        first = f"{below}/{start:09d}.jpg"
        Path(first).touch()
        # Links take no inodes, of which a disk may not have so many.
        for at in range(start + 1, min(start + FILES, samples)):
            os.link(first, f"{below}/{at:09d}.jpg")


def write_parquet(folder: Path, samples: int) -> None:
    """Writes Parquet files."""
    for start in range(0, samples, ROWS):
        numbers = np.arange(start, min(start + ROWS, samples))
        pq.write_table(pa.table({"x": numbers}), folder / f"{start:09d}.parquet", row_group_size=10_000)


WRITERS = {"tar": write_tar, "folder": write_folder, "parquet": write_parquet}

if __name__ == "__main__":
    main()
