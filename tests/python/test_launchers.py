"""Processes as launchers start them: each reads its part, and nobody has said which."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from support import PROGRAM_SECONDS, as_processes

SAMPLES = 41

PROGRAM = """
import json, sys
import numpy as np
import stokehold as sh

def part():
    loader = sh.Loader(sh.Arrays({"x": np.arange(41)}), batch_size=4, shuffle=True, num_workers=1)
    with loader:
        indices = [int(index) for batch in loader for index in batch.indices]
        return json.dumps([indices, loader.stats()["ranks"]])

if __name__ == "__main__":
    print(part(), flush=True)
"""

NODES = {"SLURM_JOB_ID": "7", "SLURM_NTASKS": "4", "SLURM_STEP_NODELIST": "node[1-2]", "SLURM_STEP_NUM_TASKS": "4"}
"""What a step of two nodes has in all of its tasks, here two on each."""

LAUNCHES: dict[str, list[dict[str, str]]] = {
    "SLURM": [NODES | {"SLURM_PROCID": str(rank), "SLURM_LOCALID": str(rank % 2)} for rank in range(4)],
    "Open MPI": [
        {"OMPI_COMM_WORLD_RANK": str(rank), "OMPI_COMM_WORLD_SIZE": "3", "OMPI_COMM_WORLD_LOCAL_SIZE": "3"}
        for rank in range(3)
    ],
    # MPICH and Intel MPI.
    "PMI": [{"PMI_RANK": str(rank), "PMI_SIZE": "2", "MPI_LOCALNRANKS": "2"} for rank in range(2)],
    # torchrun within a step of SLURM: one task on each node, two processes each.
    "torchrun": [
        NODES | {"SLURM_NTASKS": "2", "SLURM_PROCID": str(rank // 2), "RANK": str(rank), "WORLD_SIZE": "4"}
        for rank in range(4)
    ],
}


def check(said: list[str], by: str) -> None:
    parts = [json.loads(line) for line in said]
    assert sorted(ranks["rank"] for _, ranks in parts) == list(range(len(parts)))
    assert {(ranks["world_size"], ranks["by"]) for _, ranks in parts} == {(len(parts), by)}
    rows = [index for indices, _ in parts for index in indices]
    assert sorted(set(rows)) == list(range(SAMPLES))
    assert len(rows) == -(-SAMPLES // len(parts)) * len(parts)


@pytest.mark.parametrize("launcher", LAUNCHES)
def test_variables_of_launchers(launcher: str, tmp_path: Path) -> None:
    check(as_processes(PROGRAM, tmp_path, LAUNCHES[launcher]), launcher)


SPAWNS = """
import torch

def main(rank, meeting):
    torch.distributed.init_process_group("gloo", init_method=f"file://{meeting}", rank=rank, world_size=2)
    print(part(), flush=True)
    torch.distributed.barrier()
    torch.distributed.destroy_process_group()

if __name__ == "__main__":
    torch.multiprocessing.spawn(main, (sys.argv[1],), nprocs=2)
"""


@pytest.mark.thorough
def test_processes_that_pytorch_spawns(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    program = PROGRAM.partition("if __name__")[0] + SPAWNS
    check(as_processes(program, tmp_path, [{}], str(tmp_path / "meeting"))[0].splitlines(), "torch.distributed")


@pytest.mark.thorough
@pytest.mark.parametrize("joins", [False, True])
def test_torchrun(joins: bool, tmp_path: Path) -> None:
    """By itself, and with a process group, which is asked first."""
    pytest.importorskip("torch")
    group = 'import torch; torch.distributed.init_process_group("gloo")\n    ' if joins else ""
    program = tmp_path / "program.py"
    program.write_text(PROGRAM.replace("    print(part()", f"    {group}print(part()"))
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", str(program)]
    environment = dict(os.environ) | {"GLOO_SOCKET_IFNAME": "lo", "OMP_NUM_THREADS": "1"}
    done: Any = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=PROGRAM_SECONDS, check=False
    )
    assert done.returncode == 0, done.stderr
    check(done.stdout.splitlines(), "torch.distributed" if joins else "torchrun")
