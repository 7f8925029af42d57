"""Draws the peers' images/s as bars, one panel a workload."""

from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")

from matplotlib import pyplot as plt


def draw(rows: list[dict[str, Any]], path: Path) -> None:
    """Draws the rows of the table that have a figure; the lines are the lowest and the highest window."""
    rows = [row for row in rows if row["images_per_s"]]
    workloads = list(dict.fromkeys(row["workload"] for row in rows))
    if not workloads:
        return
    columns = min(2, len(workloads))
    lines = -(-len(workloads) // columns)
    figure, axes = plt.subplots(lines, columns, figsize=(7 * columns, 5.5 * lines), layout="constrained", squeeze=False)
    for axis, workload in zip(axes.flat, workloads, strict=False):
        mine = [row for row in rows if row["workload"] == workload][::-1]
        rates = [row["images_per_s"] for row in mine]
        spread = [
            [row["images_per_s"] - row["lowest"] for row in mine],
            [row["highest"] - row["images_per_s"] for row in mine],
        ]
        colours = ["C0" if row["peer"] == "stokehold" else "0.7" for row in mine]
        # What does not do the same work is hatched.
        hatches = ["//" if "NO antialias" in row["not equal"] or "raw" in row["variant"] else "" for row in mine]
        names = [f"{row['peer']} {row['variant']}" for row in mine]
        axis.barh(names, rates, xerr=spread, color=colours, hatch=hatches, edgecolor="0.3", ecolor="0.2")
        axis.set_title(workload)
        axis.set_xlabel("images/s")
    for axis in axes.flat[len(workloads) :]:
        axis.set_visible(False)
    figure.suptitle("Hatched: less work than the others (no antialias, or pixels that are stored raw)")
    figure.savefig(path, dpi=110)
    plt.close(figure)
    print(f"wrote {path}")
