"""Measures stokehold beside its peers, and writes a table and a plot.

    .venv/bin/python benches/peers/run.py [--peers torch dali] [--workloads W1-u8 decode] [--rounds 5] [--set imagenet]

Builds the set and the environments that are missing. An entry (peer, variant, workload) is one fresh process a round;
the order is drawn anew for each round, so that whatever else the machine does meets all of them. What fails is a row
of the table too, with its reason.
"""

import argparse
import csv
import json
import platform
import random
import statistics
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import data
import plot
from environments import last_words, quiet, ready

HERE = Path(__file__).parent
RESULTS = HERE.parent / "results"
WORKLOADS = ["W1-u8", "W1-f32", "W2-u8", "W2-f32", "decode-u8"]
BASE = ("stokehold", "pool")
COLUMNS = [
    "peer",
    "images/s (lowest-highest)",
    "stokehold is",
    "CPU s per 1000",
    "PSS MB",
    "first batch s",
    "batch",
    "not equal",
]
# What a process may take beside its windows: imports, compilation, and a first batch of large photographs.
PATIENCE = 120


@dataclass
class Entry:
    """One row of the table."""

    peer: str
    variant: str
    workload: str
    dtype: str
    workers: int
    note: str
    results: dict[int, dict[str, Any]] = field(default_factory=dict)
    failure: str = ""
    failed_rounds: int = 0

    @property
    def name(self) -> str:
        """The peer and the variant."""
        return f"{self.peer} {self.variant}"

    @property
    def rates(self) -> list[float]:
        """The images/s of every window of every round."""
        return [rate for result in self.results.values() for rate in result["images_per_s"]]

    def median(self, what: str) -> float:
        """Returns the median of a figure over the rounds."""
        return statistics.median(float(result[what]) for result in self.results.values())


def main() -> None:
    """Measures what is asked for."""
    peers = tomllib.loads((HERE / "peers.toml").read_text())
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", nargs="+", choices=peers, default=list(peers), metavar="PEER", help=", ".join(peers))
    parser.add_argument("--workloads", nargs="+", choices=WORKLOADS, default=WORKLOADS, metavar="WORKLOAD")
    parser.add_argument("--set", choices=data.KINDS, default="imagenet", dest="images")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--windows", type=int, default=2, help="windows of a process that count (default 2)")
    parser.add_argument("--seconds", type=float, default=4.0, help="length of a window (default 4)")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--apt", action="store_true", help="install the Debian packages that peers need")
    parser.add_argument("--output", type=Path, default=RESULTS, help="folder for the CSV file and the plot")
    arguments = parser.parse_args()

    about = data.ensure(arguments.images)
    entries = [entry for name in arguments.peers for entry in entries_of(name, peers[name], arguments)]
    for name in dict.fromkeys(entry.peer for entry in entries):
        failure = ready(data.ROOT / "env" / name, peers[name], apt=arguments.apt)
        for entry in entries:
            if entry.peer == name:
                entry.failure = failure
    for variant in {(entry.peer, entry.variant): entry for entry in entries if not entry.failure}.values():
        prepare(variant, peers, arguments, entries)
    for number in range(arguments.rounds):
        # What fails twice is not tried again; what cannot be set up is not tried at all.
        order = [entry for entry in entries if entry.failed_rounds == 1 or not entry.failure]
        random.Random(number).shuffle(order)
        for at, entry in enumerate(order):
            measure(entry, peers[entry.peer], number, arguments)
            rate = f"{statistics.median(entry.rates):.0f} images/s" if entry.rates else entry.failure
            say(f"round {number + 1}, {at + 1}/{len(order)}: {entry.name} {entry.workload}-{entry.dtype}: {rate}")
    arguments.output.mkdir(parents=True, exist_ok=True)
    stem = arguments.output / ("peers" if arguments.images == "imagenet" else f"peers-{arguments.images}")
    rows = write_csv(stem.with_suffix(".csv"), entries)
    print(markdown(rows, about, arguments))
    plot.draw(rows, stem.with_suffix(".png"))


def say(text: str) -> None:
    """Tells how far the run is."""
    print(text, file=sys.stderr, flush=True)


def entries_of(name: str, peer: dict[str, Any], arguments: argparse.Namespace) -> Iterator[Entry]:
    """Yields the entries of a peer that are asked for."""
    for variant, settings in peer["variants"].items():
        for each in arguments.workloads:
            workload, dtype = each.split("-")
            if workload in settings.get("workloads", ["W1", "W2"]) and dtype in settings.get("dtypes", ["u8", "f32"]):
                workers = 1 if workload == "decode" else settings.get("workers", arguments.workers)
                yield Entry(name, variant, workload, dtype, workers, settings["note"])


def command_of(entry: Entry, peer: dict[str, Any], arguments: argparse.Namespace) -> list[str]:
    """Returns the command that measures an entry once."""
    python = data.ROOT / "env" / entry.peer / "bin" / "python" if peer["requires"] else Path(sys.executable)
    place = data.ROOT / "data" / arguments.images
    options = ["--workers", entry.workers, "--seconds", arguments.seconds, "--windows", arguments.windows]
    words = [python, HERE / peer["script"], place, entry.variant, entry.workload, entry.dtype, *options]
    return [str(word) for word in words]


def prepare(entry: Entry, peers: dict[str, Any], arguments: argparse.Namespace, entries: list[Entry]) -> None:
    """Lets a peer with a file format of its own write its file."""
    peer = peers[entry.peer]
    if not peer.get("prepares"):
        return
    result = quiet([*command_of(entry, peer, arguments), "--prepare"])
    if result.returncode:
        for other in entries:
            if (other.peer, other.variant) == (entry.peer, entry.variant):
                other.failure = f"cannot write its file: {last_words(result.stderr)}"


def measure(entry: Entry, peer: dict[str, Any], number: int, arguments: argparse.Namespace) -> None:
    """Runs an entry once and notes what it says."""
    limit = PATIENCE + 3 * (arguments.windows + 1) * arguments.seconds
    try:
        result = quiet(command_of(entry, peer, arguments), limit)
    except subprocess.TimeoutExpired:
        entry.failure = f"no result after {limit:.0f} s"
        entry.failed_rounds += 1
        return
    answer = [line for line in result.stdout.splitlines() if line.startswith('{"images_per_s"')]
    if answer:
        entry.results[number] = json.loads(answer[-1])
    else:
        entry.failure = last_words(result.stderr) if result.stderr.strip() else f"exit status {result.returncode}"
        entry.failed_rounds += 1


def write_csv(path: Path, entries: list[Entry]) -> list[dict[str, Any]]:
    """Writes one line an entry and returns them, the fastest of each workload first."""
    rows = [row_of(entry, entries) for entry in entries]
    rows.sort(key=lambda row: (WORKLOADS.index(row["workload"]), -(row["images_per_s"] or 0)))
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, rows[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return rows


def row_of(entry: Entry, entries: list[Entry]) -> dict[str, Any]:
    """Returns what the table says of an entry."""
    row: dict[str, Any] = {
        "workload": f"{entry.workload}-{entry.dtype}",
        "peer": entry.peer,
        "variant": entry.variant,
        "workers": entry.workers,
        "rounds": len(entry.results),
    }
    figures = ("images_per_s", "lowest", "highest", "stokehold_over_it", "cpu_s_per_1000", "pss_mb", "first_batch_s")
    row |= dict.fromkeys(figures)
    if entry.results:
        last = list(entry.results.values())[-1]
        row |= {"images_per_s": round(statistics.median(entry.rates), 1)}
        row |= {"lowest": round(min(entry.rates), 1), "highest": round(max(entry.rates), 1)}
        row["stokehold_over_it"] = ratio(entry, entries)
        row |= {name: round(entry.median(name), 4) for name in ("cpu_s_per_1000", "first_batch_s")}
        row["pss_mb"] = round(entry.median("pss_mb"), 1)
        row["batch"] = last["batch"]
        row["versions"] = " ".join(f"{name}={version}" for name, version in last["versions"].items())
    else:
        row |= {"batch": "", "versions": ""}
    return row | {"not equal": entry.note, "failure": entry.failure}


def ratio(entry: Entry, entries: list[Entry]) -> float | None:
    """Returns how often as fast stokehold is: the median over the rounds of the ratio within the round."""
    base = ("stokehold", "decode") if entry.workload == "decode" else BASE
    for other in entries:
        same = (other.workload, other.dtype) == (entry.workload, entry.dtype)
        if same and (other.peer, other.variant) == base and other.results:
            ratios = [
                statistics.median(other.results[number]["images_per_s"]) / statistics.median(result["images_per_s"])
                for number, result in entry.results.items()
                if number in other.results
            ]
            return round(statistics.median(ratios), 3) if ratios else None
    return None


def markdown(rows: list[dict[str, Any]], about: dict[str, object], arguments: argparse.Namespace) -> str:
    """Returns the tables, one a workload."""
    cpus = Path("/proc/cpuinfo").read_text().splitlines()
    processors = [line.split(":")[1].strip() for line in cpus if line.startswith("model name")]
    heading = (
        f"{len(processors)} x {processors[0]}, Linux {platform.release()}; {arguments.workers} workers, batches of 64, "
        f"{arguments.rounds} rounds of {arguments.windows} windows of {arguments.seconds:g} s. "
        f"Set {about['set']}: {about['files']} files from {about['distinct pictures']} pictures, "
        f"{about['mean kB']} kB and {about['mean kpx']} kpx on average."
    )
    lines = [heading]
    for workload in dict.fromkeys(row["workload"] for row in rows):
        lines += [
            f"\n## {workload}\n",
            "| " + " | ".join(COLUMNS) + " |",
            "| --- | --: | --: | --: | --: | --: | --- | --- |",
        ]
        for row in rows:
            if row["workload"] != workload:
                continue
            name = f"{row['peer']} {row['variant']}"
            if row["images_per_s"] is None:
                lines.append(f"| {name} | failed: {row['failure']} | | | | | | {row['not equal']} |")
                continue
            faster = f"{row['stokehold_over_it']:.2f}x" if row["stokehold_over_it"] else "-"
            failure = f" (failed in some rounds: {row['failure']})" if row["failure"] else ""
            lines.append(
                f"| {name} | {row['images_per_s']:.0f} ({row['lowest']:.0f}-{row['highest']:.0f}){failure} | {faster} "
                f"| {row['cpu_s_per_1000']:.3f} | {row['pss_mb']:.0f} | {row['first_batch_s']:.2f} | {row['batch']} "
                f"| {row['not equal']} |"
            )
    versions = {f"- {row['peer']}: {row['versions']}" for row in rows if row["versions"]}
    return "\n".join([*lines, "\nVersions:\n", *sorted(versions)])


if __name__ == "__main__":
    main()
