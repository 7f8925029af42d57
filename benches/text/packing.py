"""How full are batches of samples of other lengths, and what does it take to plan an epoch of them?

    .venv/bin/python benches/text/packing.py [--samples 1000000] [--only plan padded] [--plot plot.png]

`plan`: documents whose lengths are drawn as those of texts are (log-normal, median 330 tokens, at most 2048) are packed
into rows of 2048, or put into batches of 65,536 tokens. Filled is the part of a batch that is tokens. Planning is
what an epoch takes before its first batch, order included. Beside it, what users write: a batch sampler in Python that
sorts windows of the same size and cuts them at the same budget; and the packing of Grain and of zephon, where they are
installed, which have 64 rows open at a time (rows of samples that lie in memory; the time is that of the whole
iteration, as they plan while they pack, of the first 16,384 documents, for as many as there are). megatron-energon has
no packing of its own: it calls a function of the user's.

With `--plot`, which part of batches is tokens is drawn over the window, beside batches of 64 documents as they come.

`padded`: batches of 64 such documents (ids in memory), padded to the longest one, in turns with torch's `DataLoader`
and a collate function that calls `pad_sequence`; two workers each.
"""

from __future__ import annotations

import argparse
import itertools
import os
import platform
import statistics
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

import stokehold as sh

SEQ_LEN = 2048
BUDGET = 65_536
WINDOW = 16_384
BATCH = 64
SOME = 16_384
ROUNDS = 3
SECONDS = 3


def documents(count: int) -> npt.NDArray[np.uint32]:
    """Returns lengths as those of texts."""
    drawn = np.random.default_rng(0).lognormal(np.log(330), 1.0, count)
    return np.clip(drawn, 1, SEQ_LEN).astype(np.uint32)


class Nothing:
    """A source of so many samples that nobody reads."""

    def __init__(self, count: int) -> None:
        self.count = count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {"tokens": np.zeros(5, np.int64)}


def planned(lengths: npt.NDArray[np.uint32], cut: sh.Cut, values: int) -> tuple[float, float]:
    """Returns the part of batches that is tokens, and the seconds that planning an epoch takes."""
    loader = sh.Loader(Nothing(len(lengths)), cut=cut, shuffle=True, num_workers=0)
    times = []
    for epoch in range(1, 4):
        loader.set_epoch(epoch)
        begun = time.perf_counter()
        batches = len(loader)
        times.append(time.perf_counter() - begun)
    loader.close()
    return float(lengths.sum()) / (batches * values), statistics.median(times)


def by_hand(lengths: npt.NDArray[np.uint32]) -> tuple[float, float]:
    """The same for a batch sampler in Python."""
    begun = time.perf_counter()
    order = torch.randperm(len(lengths)).tolist()
    sizes = lengths.tolist()
    batches: list[list[int]] = []
    values = 0
    for start in range(0, len(order), WINDOW):
        batch: list[int] = []
        longest = 0
        for index in sorted(order[start : start + WINDOW], key=sizes.__getitem__):
            longest_now = max(longest, sizes[index])
            if batch and longest_now * (len(batch) + 1) > BUDGET:
                batches.append(batch)
                values += longest * len(batch)
                batch, longest_now = [], sizes[index]
            batch.append(index)
            longest = longest_now
        batches.append(batch)
        values += longest * len(batch)
    return float(lengths.sum()) / values, time.perf_counter() - begun


def grain(lengths: npt.NDArray[np.uint32]) -> tuple[float, float] | None:
    """Grain's first-fit packing."""
    try:
        import grain.python as gp  # noqa: PLC0415 (it is not everywhere)
        from grain._src.python.dataset.transformations import packing  # noqa: PLC0415 (the same)
    except ImportError:
        return None
    some = first(lengths)
    dataset = gp.MapDataset.source(some).shuffle(seed=0).to_iter_dataset()
    packed = packing.FirstFitPackIterDataset(dataset, length_struct={"tokens": SEQ_LEN}, num_packing_bins=64)
    return iterated(lengths, len(some), packed)


def zephon(lengths: npt.NDArray[np.uint32], algorithm: str, **options: int) -> tuple[float, float] | None:
    """One of zephon's ways to pack."""
    try:
        from zephon import (  # noqa: PLC0415 (it is not everywhere)
            Dataset,
            InMemoryShard,
            MixtureSpec,
            Pipeline,
            StaticMixtureWorkSource,
        )
    except ImportError:
        return None
    some = first(lengths)
    source = StaticMixtureWorkSource(
        [Dataset.from_dict("texts", {0: InMemoryShard(some)})], MixtureSpec({"texts": 1.0}), shuffle_within_shard=True
    )
    return iterated(lengths, len(some), Pipeline(source).fetch().pack_flat(SEQ_LEN, algorithm=algorithm, **options))


def first(lengths: npt.NDArray[np.uint32]) -> list[dict[str, Any]]:
    """Returns the first documents, as peers take them."""
    return [{"tokens": np.zeros(length, np.int32)} for length in lengths[:SOME].tolist()]


def iterated(lengths: npt.NDArray[np.uint32], count: int, rows: Iterable[Any]) -> tuple[float, float]:
    """Returns which part of the rows of so many documents is tokens, and the seconds for all documents."""
    begun = time.perf_counter()
    values = SEQ_LEN * sum(1 for _ in rows)
    seconds = time.perf_counter() - begun
    return float(lengths[:count].sum()) / values, seconds * len(lengths) / count


def plan(count: int) -> None:
    """Prints the table of plans."""
    lengths = documents(count)
    print(f"{count} documents, {lengths.mean():.0f} tokens on average\n")
    print("| | filled | an epoch, s |\n| --- | --: | --: |")
    for strategy in ("best_fit", "first_fit", "concat"):
        fill, seconds = planned(lengths, sh.Packing(SEQ_LEN, lengths, strategy=strategy, window=WINDOW), SEQ_LEN)
        print(f"| `Packing({SEQ_LEN}, strategy={strategy!r})` | {fill:.2%} | {seconds:.2f} |", flush=True)
    peers: dict[str, Callable[[], tuple[float, float] | None]] = {
        "Grain, first fit": lambda: grain(lengths),
        "zephon, first fit": lambda: zephon(lengths, "first_fit", num_bins=64, pad_token_id=0),
        "zephon, best fit": lambda: zephon(lengths, "best_fit", num_bins=64, pad_token_id=0),
        "zephon, wrap": lambda: zephon(lengths, "wrap"),
    }
    for name, peer in peers.items():
        if (found := peer()) is not None:
            print(f"| {name} | {found[0]:.2%} | {found[1]:.2f} |", flush=True)
    for padding in (True, False):
        cut = sh.TokenBudget(BUDGET, lengths, padding=padding, window=WINDOW)
        fill, seconds = planned(lengths, cut, BUDGET)
        print(f"| `TokenBudget({BUDGET}, padding={padding})` | {fill:.2%} | {seconds:.2f} |", flush=True)
    fill, seconds = by_hand(lengths)
    print(f"| a batch sampler in Python, padded | {fill:.2%} | {seconds:.2f} |")


def draw(path: str, count: int) -> None:
    """Draws how full batches are, over the samples that are looked at together."""
    import matplotlib as mpl  # noqa: PLC0415 (slow to import)

    mpl.use("Agg")
    import matplotlib.pyplot as plt  # noqa: PLC0415 (the same)

    lengths = documents(count)
    windows = [2**power for power in range(6, 17, 2)]
    ways: dict[str, tuple[Callable[[int], sh.Cut], int]] = {
        "Packing, best_fit": (lambda window: sh.Packing(SEQ_LEN, lengths, window=window), SEQ_LEN),
        "Packing, first_fit": (
            lambda window: sh.Packing(SEQ_LEN, lengths, strategy="first_fit", window=window),
            SEQ_LEN,
        ),
        "TokenBudget, padded": (lambda window: sh.TokenBudget(BUDGET, lengths, window=window), BUDGET),
    }
    figure, axes = plt.subplots(figsize=(7, 4))
    for name, (cut, values) in ways.items():
        fills = [planned(lengths, cut(window), values)[0] for window in windows]
        axes.plot(windows, [100 * fill for fill in fills], marker="o", label=name)
    rows = lengths[: len(lengths) // BATCH * BATCH].reshape(-1, BATCH).astype(np.int64)
    as_they_come = 100 * rows.sum() / (rows.max(axis=1) * BATCH).sum()
    axes.axhline(as_they_come, color="grey", linestyle="--", label=f"{BATCH} documents as they come, padded")
    axes.set(xscale="log", xlabel="window, samples", ylabel="tokens in a batch, %", ylim=(0, 102))
    axes.legend(loc="lower right")
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    print(f"documents as they come: {as_they_come:.1f} %")


class Documents(torch.utils.data.Dataset[torch.Tensor]):
    """The same documents for PyTorch."""

    def __init__(self, rows: list[torch.Tensor]) -> None:
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> torch.Tensor:
        return self.rows[index]


def padded_by_torch(rows: list[torch.Tensor]) -> torch.Tensor:
    """What users write as `collate_fn`."""
    return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)


def endless(epochs: Callable[[], Iterator[Any]]) -> Iterator[Any]:
    """Goes over epochs."""
    return itertools.chain.from_iterable(iter(epochs, None))


def padded(count: int) -> None:
    """Prints the table of padded batches."""
    lengths = documents(min(count, 50_000))
    rows = [np.arange(length, dtype=np.int64) for length in lengths]
    source = sh.Table({"tokens": sh.Lists(rows)})
    cut = sh.Buckets([SEQ_LEN], BATCH, lengths)
    ours = sh.Loader(source, cut=cut, shuffle=True, num_workers=2, output="torch")
    theirs: Any = torch.utils.data.DataLoader(
        Documents([torch.from_numpy(row) for row in rows]),
        BATCH,
        shuffle=True,
        num_workers=2,
        collate_fn=padded_by_torch,
        persistent_workers=True,
    )
    ways = {"stokehold, `Buckets`": endless(lambda: iter(ours)), "torch, `pad_sequence`": endless(lambda: iter(theirs))}
    for batches in ways.values():
        for _ in itertools.islice(batches, 50):
            pass
    rates: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(ROUNDS):
        for name, batches in ways.items():
            # What was made while the other one was measured does not count.
            for _ in itertools.islice(batches, 30):
                pass
            begun, made = time.perf_counter(), 0
            while time.perf_counter() - begun < SECONDS:
                next(batches)
                made += 1
            rates[name].append(made / (time.perf_counter() - begun))
    print("\n| | batches/s |\n| --- | --: |")
    for name, each in rates.items():
        print(f"| {name} | {statistics.median(each):.0f} ({min(each):.0f} to {max(each):.0f}) |", flush=True)
    ours.close()


def main() -> None:
    """Measures and prints the tables."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--samples", type=int, default=1_000_000)
    parser.add_argument("--only", nargs="*", choices=["plan", "padded"], default=["plan", "padded"])
    parser.add_argument("--plot", help="where a picture is written")
    given = parser.parse_args()
    load = os.getloadavg()[0]
    print(
        f"stokehold {sh.__version__}, torch {torch.__version__}, Python {platform.python_version()}, load {load:.1f}\n"
    )
    if "plan" in given.only:
        plan(given.samples)
    if "padded" in given.only:
        padded(given.samples)
    if given.plot:
        draw(given.plot, min(given.samples, 200_000))


if __name__ == "__main__":
    main()
