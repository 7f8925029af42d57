"""How fast are sources read, beside other loaders on the same photographs, numbers and tar files?

    .venv/bin/python benches/sources/peers.py [--cache FOLDER] [--only W1-u8 members] [--rounds 3] [--seconds 1.5]
    .venv/bin/python benches/sources/peers.py --prepare

What is measured stands in `peers.toml`, a table for each group. Each way is a process of its own, in an environment of
its own where it is not ours; they are started together, a group after the other, and then take turns: within a round
each measures once, in an order drawn anew, while the others wait. At the beginning of a turn, 8 batches and 0.3 s are
thrown away, more than any makes in advance; of Ray Data, whose advance has no bound, a turn is a whole epoch with its
beginning. Two workers or threads each, files in the page cache, a consumer that reads one row of each batch.
Photographs are about 480x400 and 50 KB; W1 is RandomResizedCrop 224 and a horizontal flip, batches of 64.

Data and environments lie under `--cache` and stay there; `--prepare` makes those that are missing and measures nothing.
What cannot be installed, fails or says nothing in time is a row with its reason. Prints a Markdown table: the median of
the rounds, how often as fast the group's first way is (the median of the ratios within a round), and processor time.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import platform
import random
import shutil
import statistics
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2] / "examples"))
sys.path.insert(0, str(Path(__file__).parents[1] / "peers"))
import environments
from data import write_shards
from images import write_photos
from turns import PATIENCE, Process

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
SCRIPTS = HERE.parent / "peers"


@dataclass
class Way:
    """One row of a group's table."""

    name: str
    said: dict[str, Any]
    failure: str = ""
    process: Process | None = None
    ready: dict[str, Any] = field(default_factory=dict)
    turns: dict[int, dict[str, float]] = field(default_factory=dict)

    @contextlib.contextmanager
    def excused(self) -> Iterator[None]:
        """Lets what goes wrong with this way's process be its own failure alone."""
        try:
            yield
        except OSError as error:
            self.fail(str(error))

    def fail(self, reason: str) -> None:
        """Notes why this way is not measured any more, and ends its process."""
        self.failure = reason
        print(f"{self.name}: {reason}", file=sys.stderr, flush=True)
        if self.process is not None:
            self.process.end()

    def median(self, what: str) -> float:
        """Returns the median of a figure over the rounds."""
        return statistics.median(turn[what] for turn in self.turns.values())


def main() -> None:
    """Measures what is asked for."""
    table = tomllib.loads((HERE / "peers.toml").read_text())
    homes = table.pop("environments")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cache", type=Path, default=ROOT / "target" / "sources", help="folder of what is made")
    parser.add_argument("--only", nargs="+", choices=table, default=list(table), metavar="GROUP", help=", ".join(table))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=1.5, help="of each turn (default 1.5)")
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--prepare", action="store_true", help="make data and environments, measure nothing")
    given = parser.parse_args()
    cache = given.cache.absolute()
    photographs = photos(cache / f"data-{given.images}", given.images)
    groups = {name: [Way(*each) for each in table[name]["ways"].items()] for name in given.only}
    for name, ways in groups.items():
        for way in ways:
            make(way, homes, cache, command(way, table[name], cache, photographs))
    if given.prepare:
        return
    print(heading(given))
    for name, ways in groups.items():
        measure(name, ways, [command(way, table[name], cache, photographs) for way in ways], cache, given)
        print(markdown(table[name], ways), flush=True)
    versions = {
        f"{package} {version}"
        for ways in groups.values()
        for way in ways
        for package, version in way.ready.get("versions", {}).items()
    }
    print(f"\nVersions: {', '.join(sorted(versions))}. Load at the end: {os.getloadavg()[0]:.1f}.")


def photos(folder: Path, count: int) -> Path:
    """Writes photographs as `images/<class>/<number>.jpg`, and the same as tar files, unless they are there."""
    if not folder.exists():
        partly = folder.with_suffix(".partial")
        shutil.rmtree(partly, ignore_errors=True)
        written = write_photos(partly / "photos", count)
        images = partly / "images"
        images.mkdir()
        for number, each in enumerate(sorted(written.iterdir())):
            each.rename(images / f"class{number:02}")
        written.rmdir()
        write_shards(partly)
        partly.rename(folder)
    return folder


def command(way: Way, group: dict[str, Any], cache: Path, photographs: Path) -> list[str]:
    """Returns the command of a way's process."""
    said = way.said
    python = cache / "env" / said["env"] / "bin" / "python" if "env" in said else Path(sys.executable)
    script = next(folder / said["script"] for folder in (HERE, SCRIPTS) if (folder / said["script"]).exists())
    what = [said["variant"], group.get("workload", "W1"), said.get("dtype", "u8")]
    return [str(word) for word in (python, script, photographs, *what, "--workers", said.get("workers", 2))]


def make(way: Way, homes: dict[str, Any], cache: Path, words: list[str]) -> None:
    """Makes a way's environment, and the files that it and others read, or notes why that failed."""
    if "env" in way.said:
        name = way.said["env"]
        failure = environments.ready(cache / "env" / name, homes[name], apt=False)
        if failure:
            way.fail(failure)
            return
    script, photographs = Path(words[1]), Path(words[2])
    stamp = photographs / f"made-by-{script.stem}"
    if way.said.get("writes") and not stamp.exists():
        result = environments.quiet([*words, "--prepare"])
        if result.returncode:
            way.fail(f"cannot write its files: {environments.last_words(result.stderr)}")
        else:
            stamp.touch()


def measure(group: str, ways: list[Way], commands: list[list[str]], cache: Path, given: argparse.Namespace) -> None:
    """Lets the ways of a group take turns."""
    logs = cache / "logs"
    logs.mkdir(exist_ok=True)
    try:
        for number, (way, words) in enumerate(zip(ways, commands, strict=True)):
            if not way.failure:
                way.process = Process([*words, "--turns"], logs / f"{group}-{number}.txt")
        for way in ways:
            if way.process is not None:
                with way.excused():
                    way.ready = way.process.answer(PATIENCE)
        for number in range(given.rounds):
            order = [(way, way.process) for way in ways if way.process is not None and not way.failure]
            random.Random(number).shuffle(order)
            for way, process in order:
                with way.excused():
                    way.turns[number] = process.turn(given.seconds)
    finally:
        for way in ways:
            if way.process is not None:
                way.process.end()


def heading(given: argparse.Namespace) -> str:
    """Returns what is true of all tables."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    processors = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return (
        f"{len(processors)} x {processors[0]}, Linux {platform.release()}, Python {platform.python_version()}; "
        f"{given.images} photographs, {given.rounds} rounds of {given.seconds:g} s; load at the beginning: "
        f"{os.getloadavg()[0]:.1f}."
    )


def markdown(group: dict[str, Any], ways: list[Way]) -> str:
    """Returns a group's table."""
    first = ways[0]
    lines = [
        f"\n{group['title']}:\n",
        f"| way | {group['unit']} (lowest-highest) | {first.name} is | CPU s per 1000 | first batch s | batch | |",
        "| --- | --: | --: | --: | --: | --- | --- |",
    ]
    for way in ways:
        note = way.said.get("note", "")
        if not way.turns:
            lines.append(f"| {way.name} | not measured: {way.failure} | | | | | {note} |")
            continue
        rates = [turn["rate"] for turn in way.turns.values()]
        ratios = [first.turns[at]["rate"] / turn["rate"] for at, turn in way.turns.items() if at in first.turns]
        faster = f"{statistics.median(ratios):.2f}x" if ratios else "-"
        failure = f" (then {way.failure})" if way.failure else ""
        lines.append(
            f"| {way.name} | {statistics.median(rates):.0f} ({min(rates):.0f}-{max(rates):.0f}){failure} | {faster} "
            f"| {way.median('cpu_s_per_1000'):.4g} | {way.ready['first_batch_s']:.2f} | {way.ready['batch']} | {note} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
