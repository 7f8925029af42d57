"""Draws benches/results/ipc.png from the CSV file that `cargo bench --bench ipc` wrote."""

import csv
from collections import defaultdict
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")

from matplotlib import pyplot as plt

RESULTS = Path(__file__).resolve().parent.parent / "results"
STYLES = {
    "socket": ("bytes through a socket", "C3", "o-"),
    "fresh": ("fresh shared memory for each batch", "C1", "s-"),
    "stokehold": ("stokehold: reused slots, messages", "C0", "D-"),
    "copy": ("limit: one copy by one thread", "0.5", "--"),
}
UNITS = {2**10: "1 KiB", 2**14: "16 KiB", 2**18: "256 KiB", 2**22: "4 MiB", 2**26: "64 MiB"}


def main() -> None:
    """Draws gigabytes per second and microseconds per batch over the size of a batch."""
    series: dict[tuple[str, bool], list[tuple[int, float]]] = defaultdict(list)
    with (RESULTS / "ipc.csv").open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            series[row["transport"], row["read"] == "1"].append((int(row["bytes"]), float(row["us_median"])))

    figure, axes = plt.subplots(2, 2, figsize=(11, 8), sharex=True, sharey="row", layout="constrained")
    for column, read in enumerate((False, True)):
        speed, time = axes[:, column]
        speed.set_title("until the batch can be read" if not read else "until every word has been read")
        for transport, (label, colour, style) in STYLES.items():
            # Two processes can overlap the copy and the reading, so the copy alone is the limit of both.
            points = series.get((transport, read and transport != "copy"))
            if not points:
                continue
            sizes = [size for size, _ in points]
            speed.plot(sizes, [size / us / 1e3 for size, us in points], style, color=colour, label=label)
            time.plot(sizes, [us for _, us in points], style, color=colour, label=label)
        for axis in (speed, time):
            axis.set_xscale("log", base=2)
            axis.set_yscale("log")
            axis.grid(visible=True, which="major", alpha=0.3)
        time.set_xticks(list(UNITS), list(UNITS.values()))
        time.set_xlabel("size of a batch")
    axes[0, 0].set_ylabel("GB/s")
    axes[1, 0].set_ylabel("µs per batch")
    axes[0, 0].legend()
    figure.suptitle("One producer process, one consumer process: how a batch gets across")
    figure.savefig(RESULTS / "ipc.png", dpi=110)
    print("wrote benches/results/ipc.png")


if __name__ == "__main__":
    main()
