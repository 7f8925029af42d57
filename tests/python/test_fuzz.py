"""Some files of each target of `fuzz_sources.py`; that program tries as many as there is time for."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from fuzz_seeds import TARGETS
from support import PROGRAM_SECONDS

PROGRAM = Path(__file__).with_name("fuzz_sources.py")


@pytest.mark.thorough
@pytest.mark.parametrize("target", sorted(TARGETS))
def test_damaged_files_are_read_or_refused(target: str) -> None:
    command = [sys.executable, str(PROGRAM), target, "--files", "400", "--seconds", str(PROGRAM_SECONDS)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=2 * PROGRAM_SECONDS, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert f"{target}: " in ended.stdout
