"""Windows of 1024 tokens and the next token of each, from a flat file of 512 MB of `uint16`, as `int64`."""

import queue
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "peers"))
import harness

BATCH, LENGTH = 32, 1024
TOKENS = 256 << 20

Batches = Iterator[tuple[Any, Any]]


def write(file: Path) -> None:
    """Writes tokens of GPT-2's vocabulary."""
    partly = file.with_suffix(".partial")
    rng = np.random.default_rng(0)
    with partly.open("wb") as out:
        for _ in range(TOKENS >> 20):
            rng.integers(0, 50257, 1 << 20).astype("<u2").tofile(out)
    partly.rename(file)


def by_stokehold(file: Path, workers: int) -> Batches:
    """Iterates over our source, shuffled."""
    import stokehold as sh

    loader = sh.Loader(sh.TokenBin(file, LENGTH), batch_size=BATCH, shuffle=True, num_workers=workers)
    while True:
        for batch in loader:
            yield batch["tokens"], batch["targets"]


def by_torch(file: Path, workers: int) -> Batches:
    """Iterates over a dataset that slices NumPy's map of the file, in PyTorch's workers."""
    import torch
    from torch.utils.data import DataLoader

    class Windows:
        """Windows that begin every 1024 tokens."""

        def __init__(self) -> None:
            self.tokens = np.memmap(file, np.uint16, "r")

        def __len__(self) -> int:
            return (len(self.tokens) - 1) // LENGTH

        def __getitem__(self, index: int) -> tuple[Any, Any]:
            window = torch.from_numpy(self.tokens[index * LENGTH : index * LENGTH + LENGTH + 1].astype(np.int64))
            return window[:-1], window[1:]

    loader = DataLoader(Windows(), batch_size=BATCH, shuffle=True, num_workers=workers, persistent_workers=True)
    while True:
        yield from loader


def by_nanogpt(file: Path, workers: int) -> Batches:
    """Takes windows at random, as nanoGPT's `get_batch` does: a new map for each batch, a stack of slices."""
    import torch

    del workers
    while True:
        tokens = np.memmap(file, np.uint16, "r")
        starts = torch.randint(len(tokens) - LENGTH, (BATCH,)).tolist()
        inputs = [torch.from_numpy(tokens[at : at + LENGTH].astype(np.int64)) for at in starts]
        targets = [torch.from_numpy(tokens[at + 1 : at + 1 + LENGTH].astype(np.int64)) for at in starts]
        yield torch.stack(inputs), torch.stack(targets)


def by_turboloader(file: Path, workers: int) -> Batches:
    """Iterates as its documentation says; it has no workers."""
    import turboloader

    del workers
    loader = turboloader.TokenDataLoader(str(file), seq_len=LENGTH, batch_size=BATCH, shuffle=True)
    while True:
        yield from loader


def by_copies(file: Path, workers: int) -> Batches:
    """Only copies as many bytes as a batch has, in threads, from memory in a cache to a ring."""
    del file
    ready: queue.Queue[list[tuple[Any, Any]]] = queue.Queue(2)
    source = np.zeros((2, BATCH, LENGTH), np.int64)

    def copy() -> None:
        ring = np.zeros((32, *source.shape), np.int64)
        while True:
            # Several at a time, so that the queue does not count.
            for first in range(0, len(ring), 8):
                for slot in ring[first : first + 8]:
                    np.copyto(slot, source)
                ready.put([(slot[0], slot[1]) for slot in ring[first : first + 8]])

    for _ in range(workers):
        threading.Thread(target=copy, daemon=True).start()
    while True:
        yield from ready.get()


WAYS: dict[str, Callable[[Path, int], Batches]] = {
    "stokehold": by_stokehold,
    "torch": by_torch,
    "nanogpt": by_nanogpt,
    "turboloader": by_turboloader,
    "copies": by_copies,
}


def main() -> None:
    """Measures one variant."""
    job = harness.job()
    file = job.data / "tokens.bin"
    if job.prepare:
        if not file.exists():
            write(file)
        return
    package = {"torch": "torch", "nanogpt": "torch", "turboloader": "turboloader"}.get(job.variant, "numpy")
    harness.run(job, lambda: WAYS[job.variant](file, job.workers), lambda _: 1, (package,))


if __name__ == "__main__":
    main()
