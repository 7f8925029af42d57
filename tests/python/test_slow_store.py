"""Reads that take long change the time and nothing else: `slow_store.c` lets every read below a folder wait."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

STORE = Path(__file__).parents[2] / "benches/sources/slow_store.c"
IMAGES = 90
GROUP = 10

# Prints a checksum of one field of all batches for each way to read them, and the names of the threads that workers
# had.
PROGRAM = """
import contextlib, hashlib, json, os, sys
from pathlib import Path
import stokehold as sh

def threads(pid):
    names = set()
    for task in Path(f"/proc/{pid}/task").iterdir():
        # One may have ended meanwhile.
        with contextlib.suppress(OSError):
            names.add(task.joinpath("comm").read_text().strip().rpartition("-")[0])
    return names

def read(source, shuffle, workers):
    sums, names = hashlib.sha256(), set()
    field = "tokens" if isinstance(source, sh.TokenBin) else "image"
    chain = {"image": [sh.CenterCrop(16)]} if field == "image" else {}
    with sh.Loader(source, batch_size=8, shuffle=shuffle, seed=1, transforms=chain, num_workers=workers) as loader:
        for epoch in range(2):
            for batch in loader:
                sums.update(batch[field].tobytes())
            pids = [worker["pid"] for worker in loader.stats()["workers"]] or [os.getpid()]
            names.update(*map(threads, pids))
    return sums.hexdigest(), sorted(names)

def main(folder, cache):
    def parquet():
        return sh.Parquet(folder / "photos.parquet", images=["image"], cache=cache)

    ways = {
        "folder": (lambda: sh.ImageFolder(folder / "photos"), True),
        "tar": (lambda: sh.WebDataset(folder / "photos.tar", {"image": "jpg"}, cache=False), True),
        "tokens": (lambda: sh.TokenBin(folder / "tokens.bin", 8), True),
        "blocks": (parquet, "blocks"),
        "in order": (parquet, False),
        "selected": (lambda: parquet().select(range(5, 85)), False),
        "concatenated": (lambda: sh.concat([parquet(), parquet()]), False),
    }
    print(json.dumps({
        f"{name}, {workers} workers": read(opened(), shuffle, workers)
        for name, (opened, shuffle) in ways.items() for workers in (0, 1, 2)
    }))

if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
"""


def write(folder: Path) -> int:
    """Writes the same images in three ways, and tokens; returns a cache that holds four row groups."""
    random = np.random.default_rng(0)
    folder.mkdir()
    random.integers(0, 50_000, 8 * IMAGES + 1).astype("<u2").tofile(folder / "tokens.bin")
    (folder / "photos/a").mkdir(parents=True)
    for number in range(IMAGES):
        pixels = random.integers(0, 256, (32, 32, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"photos/a/{number:03d}.jpg")
    files = sorted(folder.rglob("*.jpg"))
    with tarfile.open(folder / "photos.tar", "w") as tar:
        for file in files:
            tar.add(file, file.name)
    rows = {"image": [file.read_bytes() for file in files]}
    pq.write_table(
        pa.table(rows), folder / "photos.parquet", row_group_size=GROUP, compression="NONE", use_dictionary=False
    )
    groups = pq.ParquetFile(folder / "photos.parquet").metadata
    # A view takes 16 bytes beside its bytes.
    largest: int = max(groups.row_group(number).total_byte_size + 16 * GROUP for number in range(groups.num_row_groups))
    return 4 * largest


COMPILER = shutil.which("cc")


@pytest.mark.skipif(COMPILER is None, reason="needs a C compiler")
def test_a_slow_store_gives_the_same_bytes(tmp_path: Path) -> None:
    store = tmp_path / "store.so"
    subprocess.run([COMPILER or "", "-O2", "-shared", "-fPIC", "-o", store, STORE, "-ldl"], check=True)
    cache = write(tmp_path / "files")
    command = [sys.executable, "-c", PROGRAM, str(tmp_path / "files"), str(cache)]
    slow = {"LD_PRELOAD": str(store), "SLOW_FOLDER": str(tmp_path / "files"), "SLOW_MICROS": "5000"}

    def said(more: dict[str, str]) -> dict[str, tuple[str, list[str]]]:
        ended = subprocess.run(command, env=os.environ | more, check=True, capture_output=True, text=True, timeout=300)
        found: dict[str, tuple[str, list[str]]] = json.loads(ended.stdout)
        return found

    fast, late = said({}), said(slow)
    assert {way: sums for way, (sums, _) in late.items()} == {way: sums for way, (sums, _) in fast.items()}
    for name in ("folder", "tar", "tokens", "blocks", "in order", "concatenated", "selected"):
        assert len({late[f"{name}, {workers} workers"][0] for workers in (0, 1, 2)}) == 1, name
    for workers in (1, 2):
        assert "read" in late[f"folder, {workers} workers"][1]
        assert "read" in late[f"tar, {workers} workers"][1]
        assert "read" in late[f"tokens, {workers} workers"][1]
    for workers in (0, 1, 2):
        assert "groups" in late[f"blocks, {workers} workers"][1]
        assert "groups" in late[f"in order, {workers} workers"][1]
        assert "groups" in late[f"concatenated, {workers} workers"][1]
        assert "groups" not in late[f"selected, {workers} workers"][1]
