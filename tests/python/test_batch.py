"""Batches: views of the slot without a copy, for every library, and who keeps the slot."""

from __future__ import annotations

import ctypes
import gc
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import stokehold as sh
from support import arena_mappings, eventually, image_loader, value, values

DTYPES = [
    "bool",
    *("uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64"),
    *("float16", "float32", "float64", "bfloat16"),
]
POOLS = pytest.mark.parametrize("workers", [0, 2])


def held(loader: sh.Loader) -> int:
    gc.collect()
    return int(loader.stats()["held_slots"])


def lies_in_arena(address: int) -> bool:
    spans = (line.split()[0].split("-") for line in arena_mappings() if "memfd:stokehold-arena" in line)
    return any(int(start, 16) <= address < int(end, 16) for start, end in spans)


def of_dtype(name: str) -> Any:
    if name == "bfloat16":
        name = pytest.importorskip("ml_dtypes").bfloat16
    return (np.arange(60) % 2 if name == "bool" else np.arange(60)).astype(name).reshape(10, 3, 2)


@POOLS
def test_fields_are_writable_views_of_the_slot(folder: Path, workers: int) -> None:
    with image_loader(folder, num_workers=workers) as loader:
        batch = next(iter(loader))
        assert list(batch) == ["image", "label"]
        assert len(batch) == 2
        assert batch.rows == 5
        assert batch.indices.dtype == np.int64
        assert "image: uint8[5, 32, 32, 3]" in repr(batch)
        for array in (*batch.values(), *batch.numpy().values()):
            assert array.flags.writeable
            assert array.flags.c_contiguous
            assert lies_in_arena(array.ctypes.data)
        assert batch["image"] is batch["image"]
        with pytest.raises(KeyError, match="no field 'picture'; the batch has image, label"):
            batch["picture"]


def test_each_field_begins_at_a_multiple_of_64(folder: Path) -> None:
    with image_loader(folder, num_workers=1) as loader:
        for batch in loader:
            assert all(array.ctypes.data % 64 == 0 for array in batch.values())


# DLPack, by hand.


class Tensor(ctypes.Structure):
    _fields_ = [
        ("data", ctypes.c_void_p),
        ("device", ctypes.c_int32 * 2),
        ("ndim", ctypes.c_int32),
        ("code", ctypes.c_uint8),
        ("bits", ctypes.c_uint8),
        ("lanes", ctypes.c_uint16),
        ("shape", ctypes.POINTER(ctypes.c_int64)),
        ("strides", ctypes.POINTER(ctypes.c_int64)),
        ("byte_offset", ctypes.c_uint64),
    ]


class Managed(ctypes.Structure):
    _fields_ = [("tensor", Tensor), ("context", ctypes.c_void_p), ("deleter", ctypes.CFUNCTYPE(None, ctypes.c_void_p))]


class Versioned(ctypes.Structure):
    _fields_ = [
        ("major", ctypes.c_uint32),
        ("minor", ctypes.c_uint32),
        ("context", ctypes.c_void_p),
        ("deleter", ctypes.CFUNCTYPE(None, ctypes.c_void_p)),
        ("flags", ctypes.c_uint64),
        ("tensor", Tensor),
    ]


def pointer_of(capsule: Any, name: bytes) -> int:
    get = ctypes.pythonapi.PyCapsule_GetPointer
    get.restype, get.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    pointer = get(capsule, name)
    assert isinstance(pointer, int)
    return pointer


KINDS = pytest.mark.parametrize(
    ("max_version", "kind", "name"),
    [
        (None, Managed, b"dltensor"),
        ((0, 8), Managed, b"dltensor"),
        ((1, 0), Versioned, b"dltensor_versioned"),
        ((1, 3), Versioned, b"dltensor_versioned"),
        ((2, 0), Versioned, b"dltensor_versioned"),
    ],
)


@KINDS
def test_a_capsule_describes_the_field(folder: Path, max_version: Any, kind: Any, name: bytes) -> None:
    with image_loader(folder, num_workers=1) as loader:
        batch = next(iter(loader))
        field = batch.field("image")
        assert field.__dlpack_device__() == (1, 0)
        capsule = field.__dlpack__(max_version=max_version)
        managed = kind.from_address(pointer_of(capsule, name))
        tensor = managed.tensor
        assert list(tensor.device) == [1, 0]
        assert (tensor.code, tensor.bits, tensor.lanes, tensor.byte_offset) == (1, 8, 1, 0)
        assert tensor.shape[: tensor.ndim] == [5, 32, 32, 3]
        assert tensor.strides[: tensor.ndim] == [32 * 32 * 3, 32 * 3, 3, 1]
        assert tensor.data == batch["image"].ctypes.data
        if kind is Versioned:
            assert (managed.major, managed.minor, managed.flags) == (1, 0, 0)


@KINDS
def test_a_capsule_that_nobody_takes_returns_the_slot(folder: Path, max_version: Any, kind: Any, name: bytes) -> None:
    del kind, name
    with image_loader(folder, num_workers=1) as loader:
        capsule = next(iter(loader)).field("image").__dlpack__(max_version=max_version)
        assert held(loader) == 1
        del capsule
        assert held(loader) == 0


@KINDS
def test_a_capsule_that_was_taken_returns_the_slot_when_it_is_deleted(
    folder: Path, max_version: Any, kind: Any, name: bytes
) -> None:
    with image_loader(folder, num_workers=1) as loader:
        capsule = next(iter(loader)).field("image").__dlpack__(max_version=max_version)
        address = pointer_of(capsule, name)
        rename = ctypes.pythonapi.PyCapsule_SetName
        rename.argtypes = [ctypes.py_object, ctypes.c_char_p]
        used = b"used_" + name
        rename(capsule, used)
        del capsule
        assert held(loader) == 1
        kind.from_address(address).deleter(address)
        assert held(loader) == 0


@pytest.mark.parametrize("options", [{"copy": True}, {"dl_device": (2, 0)}, {"stream": 1}], ids=str)
def test_dlpack_refuses_what_it_cannot_do(arrays: sh.Arrays, options: dict[str, Any]) -> None:
    batch = next(iter(sh.Loader(arrays, num_workers=0)))
    with pytest.raises(BufferError):
        batch.field("x").__dlpack__(**options)


@POOLS
def test_the_buffer_protocol(arrays: sh.Arrays, columns: dict[str, Any], workers: int) -> None:
    with sh.Loader(arrays, batch_size=4, num_workers=workers) as loader:
        batch = next(iter(loader))
        view = memoryview(batch.field("x"))
        assert (view.format, view.shape, view.strides, view.readonly) == ("f", (4, 3, 4), (48, 16, 4), False)
        flat = np.frombuffer(memoryview(batch.field("x")), np.float32)
        assert np.array_equal(flat.reshape(4, 3, 4), columns["x"][:4])
        assert lies_in_arena(flat.ctypes.data)
        batch["x"][0] = 5
        assert (flat[:12] == 5).all()
        del batch
        assert held(loader) == 1
        view.release()
        assert held(loader) == 1
        del flat
        assert held(loader) == 0


@pytest.mark.parametrize("dtype", DTYPES)
def test_numpy_dtypes(dtype: str) -> None:
    rows = of_dtype(dtype)
    with sh.Loader(sh.Arrays({"x": rows}), batch_size=10, num_workers=1) as loader:
        assert loader.spec["x"] == sh.FieldSpec(dtype, (3, 2))
        (array,) = (batch["x"] for batch in loader)
        assert array.dtype == rows.dtype
        assert array.tobytes() == rows.tobytes()


@pytest.mark.parametrize("dtype", DTYPES)
def test_torch_dtypes(torch: Any, dtype: str) -> None:
    rows = of_dtype(dtype)
    with sh.Loader(sh.Arrays({"x": rows}), batch_size=10, num_workers=1, output="torch") as loader:
        (tensor,) = (batch["x"] for batch in loader)
        assert tensor.dtype == getattr(torch, dtype)
        assert lies_in_arena(tensor.data_ptr())
        assert tensor.shape == (10, 3, 2)
        assert tensor.double().tolist() == rows.astype(float).tolist()
        tensor[0] = 1
        assert held(loader) == 1
        del tensor
        assert held(loader) == 0


@pytest.mark.parametrize("dtype", DTYPES)
def test_jax_dtypes(jax: Any, dtype: str) -> None:
    rows = of_dtype(dtype)
    with sh.Loader(sh.Arrays({"x": rows}), batch_size=10, num_workers=1, output="jax") as loader:
        (array,) = (batch["x"] for batch in loader)
        assert array.dtype == rows.dtype
        assert np.array_equal(np.asarray(array).astype(float), rows.astype(float))
        assert isinstance(array, jax.Array)
        del array
        assert eventually(lambda: held(loader) == 0)


@POOLS
@pytest.mark.parametrize("output", ["numpy", "torch", "jax"])
def test_views_of_views_keep_the_slot(arrays: sh.Arrays, request: Any, output: Any, workers: int) -> None:
    if output != "numpy":
        request.getfixturevalue(output)
    with sh.Loader(arrays, batch_size=4, num_workers=workers, output=output) as loader:
        batch = next(iter(loader))
        part = batch["x"][1:3]
        before = np.asarray(part).copy()
        del batch
        if output != "jax":  # A slice of a JAX array is an array of its own.
            assert held(loader) == 1
        for _ in range(3):
            values(loader)
        assert np.array_equal(np.asarray(part), before)
        del part
        assert eventually(lambda: held(loader) == 0)


@POOLS
def test_a_held_batch_does_not_change(folder: Path, workers: int) -> None:
    with image_loader(folder, num_workers=workers, prefetch=2) as loader:
        batches = iter(loader)
        kept = next(batches)
        before = value(kept)
        for _ in batches:
            pass
        for _ in range(3):
            values(loader)
        assert value(kept) == before


@POOLS
def test_a_batch_that_was_written_to_does_not_come_back(folder: Path, workers: int) -> None:
    with image_loader(folder, num_workers=workers, prefetch=1) as loader:
        expected = values(loader)
        for batch in loader:
            for array in batch.values():
                array[...] = 99
        loader.set_epoch(0)
        assert values(loader) == expected


@POOLS
def test_held_batches_make_the_arena_grow_up_to_the_limit(arrays: sh.Arrays, workers: int) -> None:
    options: dict[str, Any] = {"batch_size": 2, "num_workers": workers, "shuffle": True}
    expected = values(sh.Loader(arrays, batch_size=2, num_workers=0, shuffle=True))
    with sh.Loader(arrays, prefetch=1, **options) as probe:
        stats = probe.stats()
        assert stats["slots"] == 3
        slot = stats["arena_bytes"] // 3
    limit = 8 * slot
    with sh.Loader(arrays, prefetch=1, memory_limit=limit, **options) as loader:
        batches = iter(loader)
        kept: list[sh.Batch] = []
        with pytest.raises(sh.SlotsExhaustedError) as caught:
            kept.extend(batches)
        assert len(kept) == 8
        assert loader.stats()["held_slots"] == loader.stats()["slots"] == 8
        assert loader.stats()["arena_bytes"] <= limit
        assert "8 batches are held" in str(caught.value)
        assert "memory_limit" in str(caught.value)
        assert [value(batch) for batch in kept] == expected[:8]

        seen = []
        with pytest.raises(sh.SlotsExhaustedError):
            next(batches)
        kept.pop(3)
        batch = next(batches)
        seen.append(value(batch))
        kept.clear()
        del batch
        seen += [value(batch) for batch in batches]
        assert seen == expected[8:]
        assert held(loader) == 0


@POOLS
@pytest.mark.parametrize("end", [sh.Loader.close, lambda _: None], ids=["close", "del"])
def test_a_batch_outlives_its_loader(folder: Path, workers: int, end: Callable[[sh.Loader], None]) -> None:
    loader = image_loader(folder, num_workers=workers)
    batches = iter(loader)
    batch = next(batches)
    image = next(batches)["image"]
    before, pixels = value(batch), image.copy()
    end(loader)
    del loader, batches
    gc.collect()
    assert value(batch) == before
    assert np.array_equal(image, pixels)
    batch["image"][...] = 1
    del batch
    assert lies_in_arena(image.ctypes.data)
    image[...] = 2


@POOLS
def test_batches_may_be_dropped_in_any_order_and_on_any_thread(arrays: sh.Arrays, workers: int) -> None:
    with sh.Loader(arrays, batch_size=4, num_workers=workers) as loader, ThreadPoolExecutor(2) as threads:
        for epoch in range(4):
            kept = list(loader)
            assert held(loader) == len(kept) == 13
            boxes = [[batch] for batch in (kept if epoch % 2 else reversed(kept))]
            kept.clear()
            list(threads.map(list[sh.Batch].clear, boxes))
            assert held(loader) == 0
