"""Runs the tests that compare with other packages, with the oldest, older and the newest versions of these.

Each set of versions gets an environment of its own under target/versions, of some 6 GB, which is removed again if its
tests pass. The interpreters are those in PATH. Prints a row of CONTRIBUTING.md's table for each.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
HERE = ROOT / "target" / "versions"

EXTRAS = ("demo", "frameworks", "jax", "test", "torch")
SHOWN = ("torch", "torchvision", "torchdata", "numpy", "jax", "lightning", "accelerate", "transformers")

OF_TORCH_2_7 = "accelerate==1.7.0 jax==0.6.2 lightning==2.5.2 numpy==2.2.6 torch==2.7.1 transformers==4.52.4"
OF_TORCH_2_8 = "accelerate==1.10.1 jax==0.7.2 lightning==2.5.6 numpy==2.3.5 torch==2.8.0 transformers==4.57.1"

SETS = {
    # Ray's newest pyarrow needs NumPy 2, and does not say so.
    "3.11-oldest": ("3.11", ["--resolution", "lowest-direct", "pyarrow==17.0.0"]),
    "3.12-middle": ("3.12", OF_TORCH_2_7.split()),
    "3.13-middle": ("3.13", OF_TORCH_2_8.split()),
    "3.12-newest": ("3.12", []),
    "3.13-newest": ("3.13", []),
}
"""An interpreter, and what pip is told beside what pyproject.toml asks for."""

TESTS = ("batch", "images", "mix", "places", "ragged", "transforms", "torch_*")


def uv(*arguments: str | Path) -> str:
    """Runs uv and returns what it says."""
    command = [ROOT / ".venv/bin/uv", *arguments]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, cwd=ROOT).stdout


def install(name: str) -> Path:
    """Makes an environment and returns its interpreter."""
    interpreter, told = SETS[name]
    python = HERE / name / "bin/python"
    if not python.exists():
        uv("venv", "--quiet", "--python", interpreter, HERE / name)
    extras = [word for extra in EXTRAS for word in ("--extra", extra)]
    uv("pip", "install", "--quiet", "--python", python, "--requirements", "pyproject.toml", *extras, *told)
    return python


def tested(python: Path, further: list[str]) -> tuple[str, bool]:
    """Runs the tests and returns their last line, and whether all have passed."""
    files = [str(file) for part in TESTS for file in sorted(ROOT.glob(f"tests/python/test_{part}.py"))]
    # Nothing of these packages is compiled yet, and the first import of some takes a minute.
    command = [python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--timeout", "600", *files, *further]
    # The extension module that `make build` has put there is one for every Python.
    environment = os.environ | {"PYTHONPATH": str(ROOT / "python")}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT, env=environment) as process:
        assert process.stdout is not None
        line = ""
        for line in process.stdout:
            sys.stdout.write(line)
            sys.stdout.flush()
    return re.sub(r"=|in .*", "", line).strip(), process.returncode == 0


def main() -> int:
    """Runs the sets that are named, or all, and returns the status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keep", action="store_true", help="keep the environments")
    parser.add_argument("--only", nargs="+", choices=SETS, default=list(SETS), help="the sets of versions")
    parser.add_argument("pytest", nargs="*", help="further arguments of pytest, behind --")
    given = parser.parse_args()
    rows, right = [], True
    for name in given.only:
        python = install(name)
        versions = dict(line.split("==") for line in uv("pip", "freeze", "--python", python).split() if "==" in line)
        print(f"{name}: " + ", ".join(f"{each} {versions[each]}" for each in SHOWN), flush=True)
        result, passed = tested(python, given.pytest)
        rows.append(f"| {name} | " + " | ".join([*(versions[each] for each in SHOWN), result]) + " |")
        right = right and passed
        if passed and not given.keep:
            shutil.rmtree(HERE / name)
    print(*rows, sep="\n")
    return 0 if right else 1


if __name__ == "__main__":
    sys.exit(main())
