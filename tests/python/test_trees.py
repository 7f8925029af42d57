"""Batches where frameworks take them: rebuilt, walked through, moved, pickled, as tuples; what is left of an epoch."""

from __future__ import annotations

import copy
import operator
import pickle
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest

import stokehold as sh

ARRAYS = {"x": np.arange(12, dtype=np.float32).reshape(3, 4), "y": np.arange(3, dtype=np.int32)}
ROWS = [[1.5], [2.5, 3.5, 4.5], []]


def batch_of(output: Any = "numpy", **options: Any) -> Any:
    source = sh.Table({**ARRAYS, "rows": sh.Lists(ROWS, dtype=np.float32)})
    with sh.Loader(source, batch_size=3, num_workers=0, output=output, **options) as loader:
        return next(iter(loader))


def holds(found: Mapping[str, Any], change: Callable[[Any], Any] = lambda array: array) -> None:
    assert isinstance(found, sh.Batch)
    assert list(found) == ["x", "y", "rows"]
    for name, array in ARRAYS.items():
        assert np.array_equal(np.asarray(found[name]), change(array))
    assert isinstance(found["rows"], sh.Ragged)
    for row, expected in zip(found["rows"], ROWS, strict=True):
        assert np.array_equal(np.asarray(row), change(np.array(expected, np.float32)))


@pytest.fixture(scope="session", params=["numpy", "torch", "jax"])
def library(request: pytest.FixtureRequest) -> str:
    """A library whose arrays a batch may have, its threads started before the test begins."""
    if request.param != "numpy":
        request.getfixturevalue(request.param)
    return str(request.param)


def test_a_batch_is_rebuilt_of_its_fields(library: str) -> None:
    output: Any = library
    batch = batch_of(output)
    again = type(batch)(dict(batch))
    holds(again)
    assert (again.rows, again.keys()) == (3, batch.keys())
    assert np.array_equal(again["rows"].padded(), batch["rows"].padded())
    assert again["rows"].shapes == batch["rows"].shapes
    for turned in (again.numpy(), batch.numpy()):
        assert all(isinstance(array, np.ndarray) for array in (turned["x"], turned["rows"][1]))
    assert repr(again).startswith("Batch(x: ")
    with pytest.raises(AttributeError, match="made of arrays, and has no indices"):
        _ = again.indices
    with pytest.raises(KeyError, match="no field 'z'; the batch has x, y, rows"):
        again["z"]
    # As walks through trees do it.
    assert list(sh.Batch({"x": None, "y": object()})) == ["x", "y"]
    assert len(sh.Batch()) == 0


def test_a_text_is_read_of_a_rebuilt_batch() -> None:
    source = sh.Table({"text": ["a", "bc"]})
    with sh.Loader(source, batch_size=2, num_workers=0) as loader:
        batch = next(iter(loader))
    assert sh.Batch(dict(batch)).text("text") == batch.text("text") == ["a", "bc"]


def test_the_trees_of_torch(torch: Any) -> None:
    tree = torch.utils._pytree
    batch = batch_of("torch")
    holds(tree.tree_map(lambda tensor: tensor + 1, batch), lambda array: array + 1)
    leaves, spec = tree.tree_flatten(batch)
    assert len(leaves) == 5
    holds(tree.tree_unflatten(leaves, spec))
    paths = [tree.keystr(path) for path, _ in tree.tree_flatten_with_path(batch)[0]]
    assert paths == ["['x']", "['y']", "['rows'][0]", "['rows'][1]", "['rows'][2]"]


def test_the_trees_of_jax(jax: Any) -> None:
    for output in ("numpy", "jax"):
        batch = batch_of(output)
        holds(jax.tree.map(lambda array: jax.numpy.asarray(array) + 1, batch), lambda array: array + 1)
    holds(jax.device_put(batch))
    holds(jax.jit(lambda batch: jax.tree.map(lambda array: array * 2, batch))(batch), lambda array: array * 2)
    assert jax.tree_util.keystr(jax.tree_util.tree_flatten_with_path(batch)[0][3][0]) == "['rows'][1]"


def test_the_trees_of_optree() -> None:
    optree = pytest.importorskip("optree")
    holds(optree.tree_map(lambda array: array + 1, batch_of()), lambda array: array + 1)


@pytest.mark.parametrize("output", ["numpy", "torch"])
def test_a_batch_is_moved(output: Any, torch: Any) -> None:
    batch = batch_of(output)
    moved = batch.to("cpu", non_blocking=True)
    holds(moved)
    assert moved["x"].data_ptr() == batch.torch()["x"].data_ptr()
    assert (moved.rows, moved.epoch, moved.indices.tolist()) == (3, 0, [0, 1, 2])
    moved = batch.to("meta")
    assert all(tensor.device.type == "meta" for tensor in moved["rows"])
    assert moved["x"].shape == (3, 4)
    assert torch.is_tensor(moved["y"])


@pytest.mark.parametrize("output", ["numpy", "torch"])
@pytest.mark.parametrize("copied", [copy.deepcopy, lambda batch: pickle.loads(pickle.dumps(batch))])  # noqa: S301
def test_pickles_are_copies(copied: Callable[[Any], Any], output: Any) -> None:
    if output == "torch":
        pytest.importorskip("torch")
    batch = batch_of(output)
    found = copied(batch)
    holds(found)
    assert (found.epoch, found.indices.tolist()) == (0, [0, 1, 2])
    batch["x"][:] = 7
    batch["rows"][1][:] = 7
    holds(found)


def test_a_shallow_copy_is_of_the_same_arrays() -> None:
    batch = batch_of()
    again = copy.copy(batch)
    holds(again)
    assert again["x"] is batch["x"]


@pytest.fixture(scope="module")
def frameworks() -> tuple[Any, Any]:
    """Lightning's and Accelerate's, whose packages start threads when they are imported."""
    return pytest.importorskip("lightning.fabric.utilities"), pytest.importorskip("accelerate.utils")


@pytest.mark.thorough
def test_frameworks_rebuild_a_batch(frameworks: tuple[Any, Any], torch: Any) -> None:
    fabric, accelerate = frameworks
    batch = batch_of("torch")
    holds(fabric.move_data_to_device(batch, torch.device("cpu")))
    holds(accelerate.send_to_device(batch, torch.device("cpu")))
    plain = sh.Batch({name: batch[name] for name in ("x", "y")})
    joined = accelerate.concatenate([plain, plain])
    assert isinstance(joined, sh.Batch)
    assert joined["x"].shape == (6, 4)
    assert accelerate.find_batch_size(plain) == 3


@pytest.mark.parametrize("output", ["numpy", "torch"])
def test_batches_as_tuples(output: Any) -> None:
    if output == "torch":
        pytest.importorskip("torch")
    x, y, rows = batch = batch_of(output, batch_type="tuple")
    holds(sh.Batch({"x": x, "y": y, "rows": rows}))
    assert batch._fields == ("x", "y", "rows")
    assert batch.y is y
    source = sh.Arrays({"a/b": ARRAYS["x"], "label": ARRAYS["y"]})
    with sh.Loader(source, batch_size=None, num_workers=0, batch_type="tuple") as loader:
        image, label = sample = next(iter(loader))
        assert (image.shape, int(label), sample._fields) == ((4,), 0, ("_0", "label"))
    with pytest.raises(ValueError, match="batch_type must be one of 'dict', 'tuple', not 'list'"):
        sh.Loader(source, batch_type="list")  # type: ignore[arg-type]


@pytest.mark.parametrize("workers", [0, 1])
def test_what_is_left_of_an_epoch(workers: int) -> None:
    source = sh.Arrays({"x": np.arange(19)})
    options: dict[str, Any] = {"batch_size": 2, "shuffle": True, "num_workers": workers}
    with sh.Loader(source, **options) as loader:
        iterator: Any = iter(loader)
        assert (len(loader), len(iterator), loader.remaining) == (10, 10, 10)
        for _ in range(3):
            next(iterator)
        assert (len(loader), len(iterator), loader.remaining) == (10, 7, 7)
        state = loader.state_dict()
        assert len(list(iterator)) == 7
        assert (len(iterator), loader.remaining) == (0, 10)
        newer = iter(loader)
        assert (len(iterator), len(newer)) == (0, 10)  # type: ignore[arg-type]
    # Seven batches of two on one rank are four on each of two.
    with sh.Loader(source, rank=0, world_size=2, **options) as loader:
        loader.load_state_dict(state)
        assert (len(loader), loader.remaining) == (5, 4)
        iterator = iter(loader)
        assert operator.length_hint(iterator) == 4 == len(list(iterator))
    stream = (np.array([at]) for at in range(3))
    with sh.Loader(type("Stream", (), {"__iter__": lambda _: stream})(), num_workers=0) as loader:
        assert operator.length_hint(iter(loader), -1) == -1
        with pytest.raises(TypeError, match="nobody knows"):
            _ = loader.remaining


def test_several_epochs_as_one() -> None:
    source = sh.Arrays({"x": np.arange(6)})
    with sh.Loader(source, batch_size=2, shuffle=True, num_workers=0) as loader:
        found = [(batch.epoch, batch["x"].tolist()) for batch in loader.epochs(3)]
        loader.set_epoch(0)
        assert found == [(batch.epoch, batch["x"].tolist()) for _ in range(3) for batch in loader]
        endless = loader.epochs()
        assert [next(endless).epoch for _ in range(7)] == [3, 3, 3, 4, 4, 4, 5]
        with pytest.raises(ValueError, match="count must be 1 or more, or None for no end, not 0"):
            loader.epochs(0)
