"""Which of several trainers a loader is, by whoever started them."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import stokehold as sh
from stokehold.ranks import Ranks
from support import PROGRAM_SECONDS

SLURM = {"SLURM_PROCID": "2", "SLURM_NTASKS": "4"}


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, (0, 1, "nothing")),
        ({"RANK": "1", "WORLD_SIZE": "3"}, (1, 3, "torchrun")),
        # As Lightning leaves it in a run of one process.
        ({"WORLD_SIZE": "1"}, (0, 1, "nothing")),
        # A batch script, in which nobody is a rank, and a step.
        (SLURM, (0, 1, "nothing")),
        ({**SLURM, "SLURM_STEP_NODELIST": "node[1-2]"}, (2, 4, "SLURM")),
        ({"OMPI_COMM_WORLD_RANK": "5", "OMPI_COMM_WORLD_SIZE": "6"}, (5, 6, "Open MPI")),
        ({"PMI_RANK": "0", "PMI_SIZE": "2"}, (0, 2, "PMI")),
        # torchrun within a step of SLURM.
        ({**SLURM, "SLURM_STEP_NODELIST": "n", "RANK": "7", "WORLD_SIZE": "8"}, (7, 8, "torchrun")),
    ],
)
def test_variables_of_launchers(
    variables: dict[str, str], expected: tuple[int, int, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, text in variables.items():
        monkeypatch.setenv(name, text)
    assert Ranks.found() == expected


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"WORLD_SIZE": "2"}, "has WORLD_SIZE=2 but no RANK.*pass rank= and world_size="),
        ({"RANK": "0"}, "has RANK=0 but no WORLD_SIZE"),
        ({"OMPI_COMM_WORLD_SIZE": "2"}, "OMPI_COMM_WORLD_SIZE=2 but no OMPI_COMM_WORLD_RANK"),
        ({"RANK": "2", "WORLD_SIZE": "2"}, r"rank must be 0 to 1 with world_size=2, not 2 \(torchrun\)"),
        ({"RANK": "0", "WORLD_SIZE": "two"}, "WORLD_SIZE is 'two', not a number"),
    ],
)
def test_what_cannot_be_is_refused(variables: dict[str, str], message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, text in variables.items():
        monkeypatch.setenv(name, text)
    with pytest.raises(ValueError, match=message):
        Ranks.found()


def test_half_a_pair_is_an_error_once_it_matters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    loader = sh.Loader(sh.Arrays({"x": np.arange(8)}), num_workers=0)
    assert loader.stats()["ranks"] == {"rank": 0, "world_size": 1, "by": "nothing yet"}
    for ask in (len, iter, sh.Loader.state_dict):
        with pytest.raises(ValueError, match="no RANK"):
            ask(loader)
    monkeypatch.setenv("RANK", "1")
    assert len(loader) == 4
    assert repr(loader).endswith("rank 1 of 2 by torchrun)")
    # Settled for good.
    monkeypatch.setenv("RANK", "0")
    assert [int(batch["x"][0]) for batch in loader] == [1, 3, 5, 7]


@pytest.mark.parametrize("workers", [0, 2])
def test_ranks_that_come_after_construction_keep_the_epoch(workers: int, monkeypatch: pytest.MonkeyPatch) -> None:
    arrays = sh.Arrays({"x": np.arange(24)})
    options: dict[str, Any] = {"batch_size": 4, "shuffle": True, "num_workers": workers}
    with sh.Loader(arrays, rank=1, world_size=2, **options) as given:
        given.set_epoch(3)
        expected = [batch["x"].tolist() for batch in given]
    with sh.Loader(arrays, **options) as loader:
        loader.set_epoch(3)
        monkeypatch.setenv("RANK", "1")
        monkeypatch.setenv("WORLD_SIZE", "2")
        assert [batch["x"].tolist() for batch in loader] == expected
        assert loader.stats()["ranks"] == {"rank": 1, "world_size": 2, "by": "torchrun"}


def test_a_dataset_is_told_its_rank(monkeypatch: pytest.MonkeyPatch) -> None:
    class Told:
        def __iter__(self) -> Any:
            info = sh.get_worker_info()
            assert info is not None
            return iter([np.array([info.rank, info.world_size, info.id])] * 2)

    with sh.Loader(Told(), num_workers=1, start="fork") as loader:
        monkeypatch.setenv("RANK", "1")
        monkeypatch.setenv("WORLD_SIZE", "2")
        assert [batch["0"].tolist() for batch in loader] == [[[1, 2, 0]]] * 2


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"rank": 1}, ValueError, "rank=1 needs world_size="),
        ({"world_size": 2}, ValueError, "world_size=2 needs rank="),
        ({"rank": 2, "world_size": 2}, ValueError, r"rank must be 0 to 1 with world_size=2, not 2 \(arguments\)"),
        ({"rank": 0, "world_size": 0}, ValueError, "world_size must be 1 or more, not 0"),
        ({"rank": "0", "world_size": 1}, ValueError, "leave world_size= out"),
        ({"rank": "0"}, TypeError, "rank must be an integer, a process group of torch or a DeviceMesh, not '0'"),
    ],
)
def test_arguments(options: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        sh.Loader(sh.Arrays({"x": np.arange(8)}), num_workers=0, **options)


BY_TORCH = """
import json, sys
import numpy as np
import torch
import stokehold as sh
from stokehold.torch import DataLoader

def indices(loader):
    return sorted(int(index) for batch in loader for index in batch.indices)

if __name__ == "__main__":
    meeting, rank = sys.argv[1], int(sys.argv[2])
    source = sh.Arrays({"x": np.arange(24)})
    early = sh.Loader(source, batch_size=4, shuffle=True, num_workers=1)
    torch.distributed.init_process_group("gloo", init_method=f"file://{meeting}", rank=rank, world_size=2)
    mesh = torch.distributed.device_mesh.init_device_mesh("cpu", (1, 2), mesh_dim_names=("dp", "tp"))
    found = [indices(early)]
    for ranks in (None, torch.distributed.group.WORLD, mesh["tp"], mesh["dp"]):
        with sh.Loader(source, batch_size=4, shuffle=True, num_workers=0, rank=ranks) as loader:
            found.append(indices(loader))
    by = early.stats()["ranks"]["by"]
    early.close()
    for ranks in (torch.distributed.group.WORLD, mesh["dp"]):
        found.append([int(row) for batch in DataLoader(range(24), 4, rank=ranks) for row in batch])
    print(json.dumps([found, by]))
    torch.distributed.barrier()
    torch.distributed.destroy_process_group()
"""

BY_JAX = """
import json, sys
import numpy as np
import jax
import stokehold as sh

if __name__ == "__main__":
    early = sh.Loader(sh.Arrays({"x": np.arange(24)}), batch_size=4, shuffle=True, num_workers=1)
    jax.distributed.initialize(sys.argv[1], num_processes=2, process_id=int(sys.argv[2]))
    found = sorted(int(index) for batch in early for index in batch.indices)
    by = early.stats()["ranks"]["by"]
    early.close()
    print(json.dumps([[found], by]), flush=True)
"""


def run(program: str, meeting: str, tmp_path: Path) -> list[Any]:
    path = tmp_path / "program.py"
    path.write_text(program)
    environment = dict(os.environ) | {"GLOO_SOCKET_IFNAME": "lo", "JAX_PLATFORMS": "cpu"}
    programs = [
        subprocess.Popen([sys.executable, path, meeting, str(rank)], env=environment, stdout=subprocess.PIPE, text=True)
        for rank in range(2)
    ]
    return [json.loads(program.communicate(timeout=PROGRAM_SECONDS)[0].splitlines()[-1]) for program in programs]


def test_a_process_group_that_comes_after_the_loader(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    (one, by), (two, _) = run(BY_TORCH, str(tmp_path / "meeting"), tmp_path)
    assert by == "torch.distributed"
    # Ranks along another axis of a mesh read the same; the last two are the drop-in's.
    for mine, others in zip([*one[:4], one[5]], [*two[:4], two[5]], strict=True):
        assert sorted(mine + others) == list(range(24))
    assert one[4] == two[4] == one[6] == two[6] == list(range(24))


@pytest.mark.thorough
def test_the_runtime_of_jax_that_comes_after_the_loader(tmp_path: Path) -> None:
    pytest.importorskip("jax")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    ((one,), by), ((two,), _) = run(BY_JAX, address, tmp_path)
    assert by == "jax.distributed"
    assert sorted(one + two) == list(range(24))
