"""Random members of a tar file as bytes: plain `pread`, stokehold, or webshart.

A variant is a way and a file, as `pread:small`: members of 4 KiB, or `pread:photographs`.
"""

import io
import os
import random
import sys
import tarfile
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "peers"))
import harness

BATCH = 256
SMALL = (20_000, 4096)

Batches = Iterator[dict[str, Any]]


def write(folder: Path, job: harness.Job) -> None:
    """Writes the files: the photographs, and parts of them."""
    photographs = [Path(file).read_bytes() for file in job.files]
    number, size = SMALL
    drawn = random.Random(0)
    parts = []
    for _ in range(number):
        one = drawn.choice(photographs)
        start = drawn.randrange(max(1, len(one) - size))
        parts.append(one[start : start + size])
    for name, members in {"photographs": photographs, "small": parts}.items():
        file = folder / name / "00000.tar"
        file.parent.mkdir(parents=True, exist_ok=True)
        partly = file.with_suffix(".partial")
        with tarfile.open(partly, "w") as tar:
            for at, data in enumerate(members):
                member = tarfile.TarInfo(f"{at:06}.jpg")
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))
        partly.rename(file)


def orders(length: int) -> Iterator[list[int]]:
    """Yields the members of batches at random, one epoch after the other."""
    for epoch in count():
        order = list(range(length))
        random.Random(epoch).shuffle(order)
        for start in range(0, length - BATCH + 1, BATCH):
            yield order[start : start + BATCH]


def given(rows: list[bytes]) -> dict[str, Any]:
    """Returns a batch, of which the first row is looked at."""
    return {"first": np.frombuffer(rows[0], np.uint8), "rows": rows}


def by_pread(folder: Path, workers: int) -> Batches:
    """Reads the members' ranges in this thread."""
    del workers
    with tarfile.open(folder / "00000.tar") as tar:
        places = [(member.offset_data, member.size) for member in tar]
    descriptor = os.open(folder / "00000.tar", os.O_RDONLY)
    for order in orders(len(places)):
        yield given([os.pread(descriptor, size, start) for start, size in map(places.__getitem__, order)])


def by_stokehold(folder: Path, workers: int) -> Batches:
    """Loads them as a field of bytes."""
    import stokehold as sh

    source = sh.WebDataset(folder / "00000.tar", {"data": sh.Member("jpg", "bytes")}, cache=False)
    with tarfile.open(folder / "00000.tar") as tar:
        room = max(member.size for member in tar)
    loader = sh.Loader(source, batch_size=BATCH, shuffle=True, num_workers=workers, capacity={"data": room})
    for epoch in count():
        loader.set_epoch(epoch)
        for batch in loader:
            yield {"first": batch["data"][0], "rows": batch["data"]}


def by_webshart(folder: Path, workers: int) -> Batches:
    """Reads them one by one through its reader of an indexed shard."""
    import webshart

    del workers
    if not (folder / "00000.json").exists():
        webshart.MetadataExtractor().extract_metadata(str(folder), str(folder), max_workers=2)
    dataset = webshart.discover_dataset(str(folder))
    reader = dataset.open_shard(0)
    for order in orders(dataset.get_shard_file_count(0)):
        yield given([reader.read_file(at) for at in order])


WAYS: dict[str, Callable[[Path, int], Batches]] = {
    "pread": by_pread,
    "stokehold": by_stokehold,
    "webshart": by_webshart,
}


def main() -> None:
    """Measures one variant."""
    job = harness.job()
    way, file = job.variant.split(":")
    folder = job.data / "members"
    if job.prepare:
        if not (folder / "small" / "00000.tar").exists():
            write(folder, job)
        return
    packages = () if way == "pread" else (way,)
    harness.run(job, lambda: WAYS[way](folder / file, job.workers), lambda batch: len(batch["rows"]), packages)


if __name__ == "__main__":
    main()
