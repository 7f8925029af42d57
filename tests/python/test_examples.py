"""Every example runs, as a newcomer would run it, and leaves no process behind."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from support import PATIENCE_SECONDS, PROGRAM_SECONDS

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
NEEDS = {
    "demo": ("skimage", "sklearn", "tqdm"),
    "detection": ("sklearn",),
    "drop_in": ("sklearn", "torchvision"),
    "frameworks": ("sklearn", "torchvision"),
    "quickstart": ("sklearn",),
    "train_torch": ("torch",),
}
NOT_EXAMPLES = {"images"}
# What others warn of is not ours to mend.
WARNINGS = {"frameworks": "ignore"}


@pytest.mark.parametrize("name", sorted(path.stem for path in EXAMPLES.glob("*.py") if path.stem not in NOT_EXAMPLES))
def test_example_runs(name: str) -> None:
    for module in NEEDS.get(name, ()):
        if importlib.util.find_spec(module) is None:
            pytest.skip(f"{module} is not installed")
    mark = f"stokehold-example-{name}-{os.getpid()}"

    run = subprocess.run(
        [sys.executable, "-W", WARNINGS.get(name, "error"), EXAMPLES / f"{name}.py"],
        env=os.environ | {"STOKEHOLD_TEST_MARK": mark},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=PROGRAM_SECONDS,
        check=False,
    )

    assert run.returncode == 0, run.stdout
    assert "Traceback" not in run.stdout, run.stdout
    assert left_behind(mark) == []


def left_behind(mark: str) -> list[str]:
    """Returns the processes that inherited the mark in their environment and are still there."""
    gone, alive = psutil.wait_procs([process for process in psutil.process_iter() if has(process, mark)], timeout=PATIENCE_SECONDS)
    del gone
    return [" ".join(process.cmdline()) for process in alive]


def has(process: psutil.Process, mark: str) -> bool:
    try:
        return process.environ().get("STOKEHOLD_TEST_MARK") == mark
    except psutil.Error:
        return False
