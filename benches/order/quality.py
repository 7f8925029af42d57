"""How far the samples of an epoch travel from their place in the source, by each way to order it.

    .venv/bin/python benches/order/quality.py [plot.png]

Of a Parquet file of 200,000 rows in groups of 1,000, with ``shuffle="blocks"`` and caches for some groups at a time; of
all samples; and, for comparison, of a buffer of as many samples from which the next one is drawn, as WebDataset,
torchdata and ``tf.data`` shuffle streams. Prints a table in Markdown, and draws where in the epoch samples come to.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

import stokehold as sh

ROWS, GROUP, BATCH = 200_000, 1_000, 256
WINDOWS = (2, 8, 32, 128)

Order = npt.NDArray[np.int64]


def epoch(source: sh.Source, shuffle: Literal["blocks"] | bool) -> Order:
    """Returns the order of an epoch."""
    with sh.Loader(source, batch_size=4 * GROUP, shuffle=shuffle, seed=1, num_workers=0) as loader:
        return np.concatenate([batch["x"] for batch in loader])


def buffered(size: int) -> Order:
    """Returns the order of a buffer of `size` samples: a random one goes, and the next one takes its place."""
    draws = np.random.default_rng(1)
    buffer, order = list(range(size)), np.empty(ROWS, np.int64)
    for position in range(ROWS):
        at = int(draws.integers(len(buffer)))
        order[position] = buffer[at]
        if (behind := position + size) < ROWS:
            buffer[at] = behind
        else:
            buffer[at] = buffer[-1]
            buffer.pop()
    return order


def measures(order: Order) -> tuple[float, float, float]:
    """Returns how far a sample travels on average, how many groups a batch is of, and how often the next is the next.

    The first is a share of the epoch, of which a uniform order has a third. The last is the share of samples that are
    followed by one less than a group away.
    """
    travelled = np.abs(order - np.arange(ROWS)).mean() / ROWS
    batches = order[: ROWS // BATCH * BATCH].reshape(-1, BATCH) // GROUP
    groups = float(np.mean([len(np.unique(batch)) for batch in batches]))
    near = float((np.abs(np.diff(order)) < GROUP).mean())
    return float(travelled), groups, near


def orders() -> dict[str, Order]:
    """Returns an epoch of each kind."""
    found: dict[str, Order] = {}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.parquet"
        pq.write_table(pa.table({"x": np.arange(ROWS)}), path, row_group_size=GROUP)
        described = pq.read_metadata(path)
        group = max(described.row_group(at).total_byte_size for at in range(described.num_row_groups))
        for window in WINDOWS:
            # Half of the cache holds the groups of a window.
            source = sh.Parquet(path, cache=2 * window * group)
            found[f'`"blocks"`, {window} groups at a time'] = epoch(source, "blocks")
            found[f"a buffer of {window * GROUP} samples"] = buffered(window * GROUP)
        found["`True`"] = epoch(sh.Parquet(path), shuffle=True)
        found["`False`"] = epoch(sh.Parquet(path), shuffle=False)
    return found


def draw(found: dict[str, Order], path: Path) -> None:
    """Draws where in the epoch the samples of the source come."""
    import matplotlib as mpl  # noqa: PLC0415

    mpl.use("Agg")
    from matplotlib import pyplot as plt  # noqa: PLC0415

    figure, axes = plt.subplots(2, 5, figsize=(15, 6.4), sharex=True, sharey=True)
    for axis, (name, order) in zip(axes.T.flat, found.items(), strict=True):
        shown = np.arange(0, ROWS, 40)
        axis.plot(shown, order[shown], ",", color="black", alpha=0.6)
        axis.set_title(name.replace("`", ""), fontsize=9)
    figure.supxlabel("position in the epoch")
    figure.supylabel("index in the source")
    figure.tight_layout()
    figure.savefig(path, dpi=90)


def main() -> None:
    """Measures, prints and draws."""
    found = orders()
    print("| order | a sample travels, of the epoch | groups in a batch of 256 | next one less than a group away |")
    print("| --- | --: | --: | --: |")
    for name, order in found.items():
        travelled, groups, near = measures(order)
        print(f"| {name} | {travelled:.3f} | {groups:.0f} | {near:.1%} |")
    if len(sys.argv) > 1:
        draw(found, Path(sys.argv[1]))


if __name__ == "__main__":
    main()
