"""Programs that are their own interpreter: frozen ones, and those that Python is embedded in."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import stokehold as sh
from support import PROGRAM_SECONDS

MOST_STARTS = 4
PROGRAM = """
import os, sys
log = {log!r}
with open(log, "a") as file:
    file.write("start ")
starts = open(log).read().count("start")
if starts >= {most}:
    os._exit(9)
sys.executable = {program!r}
import numpy as np
import stokehold as sh
{first}
try:
    with sh.Loader(sh.Arrays({{"x": np.arange(8)}}), batch_size=8, num_workers=1) as loader:
        print(next(iter(loader))["x"].tolist())
except sh.WorkerError as error:
    print(error)
print("goes on")
"""


def run(folder: Path, first: str) -> tuple[str, str, int]:
    """Runs a program that takes itself for the interpreter. Returns its output, its errors and the number of starts."""
    program, source, log = folder / "program", folder / "program.py", folder / "log"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{source}" "$@"\n')
    program.chmod(0o755)
    source.write_text(PROGRAM.format(log=str(log), most=MOST_STARTS, program=str(program), first=first))
    done = subprocess.run([program], capture_output=True, text=True, timeout=PROGRAM_SECONDS, check=True)
    return done.stdout, done.stderr, log.read_text().count("start")


def test_a_program_that_is_its_own_interpreter_is_not_started_without_end(tmp_path: Path) -> None:
    out, _, starts = run(tmp_path, "")
    assert starts == 2
    told, goes_on = out.splitlines()
    # The second start goes no further than to its loader.
    assert goes_on == "goes on"
    assert "before it answered" in told
    for words in (f"sys.executable, which is '{tmp_path}/program'", "stokehold.freeze_support()", "num_workers=0"):
        # The second start says so to the first one, which says it once.
        assert told.count(words) == 1


def test_freeze_support_makes_it_work(tmp_path: Path) -> None:
    assert run(tmp_path, "sh.freeze_support()") == ("[0, 1, 2, 3, 4, 5, 6, 7]\ngoes on\n", "", 2)
    sh.freeze_support()


def test_a_program_that_ends_by_itself_is_told_of(tmp_path: Path) -> None:
    out, _, starts = run(tmp_path, 'if starts > 1: sys.exit("usage: program [--help]")')
    assert starts == 2
    assert "exited with status 1 before it answered" in out
    assert "sys.executable" in out


def test_what_the_second_start_has_started_gets_an_error(tmp_path: Path) -> None:
    child = """
if starts == 2:
    import subprocess
    with open(log + ".third", "w") as file:
        subprocess.run([sys.executable], stdin=subprocess.DEVNULL, stdout=file, stderr=file)
"""
    assert run(tmp_path, child)[2] == 3
    said = (tmp_path / "log.third").read_text()
    assert "RuntimeError: a program that was started as a coordinator builds a loader" in said


def test_no_executable_is_told_of(monkeypatch: pytest.MonkeyPatch, arrays: sh.Arrays) -> None:
    monkeypatch.setattr(sys, "executable", "")
    with pytest.raises(RuntimeError, match=r"starts sys\.executable, which is ''"):
        sh.Loader(arrays, num_workers=1)
    with sh.Loader(arrays, num_workers=0) as loader:
        assert loader.samples == 50
