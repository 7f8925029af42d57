"""Every example runs, as a newcomer would run it, and leaves no process behind."""

import fcntl
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
    "chat": ("tokenizers",),
    "demo": ("skimage", "sklearn", "tqdm"),
    "detection": ("sklearn",),
    "drop_in": ("sklearn", "torchvision"),
    "frameworks": ("sklearn", "torchvision"),
    "hugging_face": ("datasets", "sklearn"),
    "parquet": ("pyarrow", "sklearn"),
    "language_model": ("torch",),
    "manifest": ("sklearn",),
    "quickstart": ("sklearn",),
    "tf_record": ("sklearn", "tfrecord"),
    "tokenize_text": ("tokenizers",),
    "train_torch": ("torch",),
    "web_dataset": ("sklearn",),
}
NOT_EXAMPLES = {"images"}
NEED_FRAMEWORKS = {"demo", "frameworks"}
# What others warn of is not ours to mend.
WARNINGS = {"frameworks": "ignore"}


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[pytest.mark.thorough] if name in NEED_FRAMEWORKS else [])
        for name in sorted({path.stem for path in EXAMPLES.glob("*.py")} - NOT_EXAMPLES)
    ],
)
def test_example_runs(name: str) -> None:
    for module in NEEDS.get(name, ()):
        if importlib.util.find_spec(module) is None:
            pytest.skip(f"{module} is not installed")
    mark = f"stokehold-example-{name}-{os.getpid()}"

    with (EXAMPLES / "images.py").open() as images:
        # It writes for all of them, to one folder.
        fcntl.flock(images, fcntl.LOCK_EX)
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
    marked = [process for process in psutil.process_iter() if has(process, mark)]
    _, alive = psutil.wait_procs(marked, timeout=PATIENCE_SECONDS)
    return [" ".join(process.cmdline()) for process in alive]


def has(process: psutil.Process, mark: str) -> bool:
    try:
        return process.environ().get("STOKEHOLD_TEST_MARK") == mark
    except psutil.Error:
        return False
