"""Native loaders in JAX: batches that are shards of one array over several devices and processes."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

import pytest

from support import as_processes

pytest.importorskip("jax")

pytestmark = pytest.mark.thorough

PRELUDE = """
import json, os, sys
import jax, numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
import stokehold as sh

SAMPLES = 45

def made(output):
    x = np.arange(SAMPLES * 16, dtype=np.float32).reshape(-1, 16)
    source = sh.Arrays({"x": x, "y": np.arange(SAMPLES, dtype=np.int32)})
    return sh.Loader(source, batch_size=8, shuffle=True, drop_last=True, num_workers=1, output=output)
"""

MESH = """
share = jax.make_array_from_process_local_data

if __name__ == "__main__":
    if "NUMBER" in os.environ:
        jax.distributed.initialize(sys.argv[1], num_processes=2, process_id=int(os.environ["NUMBER"]))
    rows = NamedSharding(Mesh(np.array(jax.devices()), ("data",)), PartitionSpec("data"))

    @jax.jit
    def total(batch):
        return batch["x"].sum(), batch["y"].sum()

    for output in ("numpy", "jax"):
        loader, kept, indices = made(output), [], []
        for batch in loader:
            indices.append(batch.indices.tolist())
            kept.append(jax.tree.map(lambda array: share(rows, np.asarray(array)), batch))
            assert isinstance(kept[-1], sh.Batch)
            assert kept[-1]["x"].shape == (8 * jax.process_count(), 16)
            assert len(kept[-1]["x"].sharding.device_set) == len(jax.devices())
        # Each array is as it was, though the slots have been filled again.
        sums = [[float(x), int(y)] for x, y in map(total, kept)]
        loader.close()
        print(json.dumps([indices, sums]), flush=True)
"""


def check(said: list[str]) -> None:
    # Gloo says something too.
    told = [[line for line in text.splitlines() if line.startswith("[[[")] for text in said]
    for lines in zip(*told, strict=True):
        parts = [json.loads(line) for line in lines]
        rows = [index for indices, _ in parts for batch in indices for index in batch]
        assert len(set(rows)) == len(rows) == 45 // (8 * len(parts)) * 8 * len(parts)
        for number, found in enumerate(zip(*(sums for _, sums in parts), strict=True)):
            batch = [index for indices, _ in parts for index in indices[number]]
            # Sums of integers below 2**24, which float32 holds.
            total = sum(16 * 16 * index + 120 for index in batch)
            assert list(found) == [[total, sum(batch)]] * len(parts)


def test_a_mesh_of_devices(tmp_path: Path) -> None:
    variables = {"XLA_FLAGS": "--xla_force_host_platform_device_count=4", "JAX_PLATFORMS": "cpu"}
    check(as_processes(PRELUDE + MESH, tmp_path, [variables]))


def test_a_mesh_of_devices_of_two_processes(tmp_path: Path) -> None:
    variables = {"XLA_FLAGS": "--xla_force_host_platform_device_count=2", "JAX_PLATFORMS": "cpu"}
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    numbered: list[dict[str, str]] = [variables | {"NUMBER": str(number)} for number in range(2)]
    check(as_processes(PRELUDE + MESH, tmp_path, numbered, address))


FLAX = """
from flax import nnx

if __name__ == "__main__":
    model = nnx.Linear(16, 1, rngs=nnx.Rngs(0))

    @nnx.jit
    def step(model, batch):
        loss, gradients = nnx.value_and_grad(lambda model: (model(batch["x"]).mean() - 1) ** 2)(model)
        return loss

    loader = made("jax")
    losses = [float(step(model, batch)) for batch in loader.epochs(2)]
    print(json.dumps([len(losses), 2 * len(loader), bool(np.isfinite(losses).all())]))
"""


def test_flax_takes_a_batch_as_it_is(tmp_path: Path) -> None:
    pytest.importorskip("flax")
    said: Any = as_processes(PRELUDE + FLAX, tmp_path, [{"JAX_PLATFORMS": "cpu"}])
    assert json.loads(said[0]) == [10, 10, True]
