"""Arrays in files: what their own libraries wrote, and what nobody should have written."""

from __future__ import annotations

import io
import json
import random
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from safetensors.numpy import save_file

import stokehold as sh

Array = npt.NDArray[Any]
Writer = Callable[[Path, dict[str, Array]], sh.Table]


def by_npy(folder: Path, arrays: dict[str, Array]) -> sh.Table:
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array)
    return sh.Npy({name: folder / f"{name}.npy" for name in arrays})


def by_npz(folder: Path, arrays: dict[str, Array]) -> sh.Table:
    given: Any = arrays
    np.savez(folder / "all.npz", **given)
    return sh.Npz(folder / "all.npz")


def by_safetensors(folder: Path, arrays: dict[str, Array]) -> sh.Table:
    save_file(arrays, folder / "all.safetensors", {"written": "by a test"})
    return sh.Safetensors(folder / "all.safetensors")


def by_memmap(folder: Path, arrays: dict[str, Array]) -> sh.Table:
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array)
    return sh.Arrays({name: np.load(folder / f"{name}.npy", mmap_mode="r") for name in arrays})


WRITERS: list[Writer] = [by_npy, by_npz, by_safetensors, by_memmap]


def loaded(source: sh.Table, workers: int, **options: Any) -> dict[str, Array]:
    with sh.Loader(source, batch_size=64, num_workers=workers, memory_limit="64MiB", **options) as loader:
        batches = [{name: np.array(batch[name]) for name in batch} for batch in loader]
    return {name: np.concatenate([batch[name] for batch in batches]) for name in batches[0]}


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("writer", WRITERS)
def test_every_dtype_comes_as_it_was_written(writer: Writer, workers: int, tmp_path: Path) -> None:
    chance = np.random.default_rng(0)
    dtypes = [
        "bool",
        *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)),
        "float16",
        "float32",
        "float64",
    ]
    arrays = {
        dtype: chance.integers(0, 2, (300, *shape)).astype(dtype)
        for dtype, shape in zip(dtypes, [(), (3,), (2, 2), (5,)] * 3, strict=True)
    }
    found = loaded(writer(tmp_path, arrays), workers)
    # safetensors sorts by size.
    assert set(found) == set(arrays)
    for name, array in arrays.items():
        assert found[name].dtype == array.dtype
        np.testing.assert_array_equal(found[name], array)


@pytest.mark.parametrize("workers", [0, 2])
def test_files_of_a_field_follow_each_other(workers: int, tmp_path: Path) -> None:
    rows = np.arange(30_000, dtype=np.int64).reshape(-1, 2)
    parts = np.split(rows, [1, 5000, 5000, 9999])
    for number, part in enumerate(parts):
        np.save(tmp_path / f"{number}.npy", part)
        np.savez(tmp_path / f"{number}.npz", x=part, y=part[:, 0])
        save_file({"x": np.ascontiguousarray(part)}, tmp_path / f"{number}.safetensors")

    def paths(kind: str) -> list[Path]:
        return [tmp_path / f"{number}.{kind}" for number in range(len(parts))]

    sources = [
        sh.Npy({"a": paths("npy")}),
        sh.Npz(paths("npz"), {"a": "x"}),
        sh.Safetensors(paths("safetensors"), {"a": "x"}),
    ]
    for source in sources:
        assert len(source) == len(rows)
        np.testing.assert_array_equal(loaded(source, workers)["a"], rows)
        shuffled = loaded(source, workers, shuffle=True, seed=3)["a"]
        np.testing.assert_array_equal(np.sort(shuffled[:, 0]), rows[:, 0])
        np.testing.assert_array_equal(shuffled, loaded(sh.Arrays({"a": rows}), 0, shuffle=True, seed=3)["a"])


def test_a_part_of_a_map_is_mapped_and_anything_else_is_copied(tmp_path: Path) -> None:
    rows = np.arange(1000, dtype=np.float32).reshape(100, 10)
    np.save(tmp_path / "x.npy", rows)
    read = np.load(tmp_path / "x.npy", mmap_mode="r")
    changed = np.load(tmp_path / "x.npy", mmap_mode="c")
    changed[0] = -1
    for given in (read, read[10:], read[::2], read[:, :3], read.T, changed, np.asarray(read), read[:0].reshape(0, 10)):
        if len(given):
            np.testing.assert_array_equal(loaded(sh.Arrays({"x": given}), 2)["x"], np.array(given))
    spec, memory = sh.Arrays({"x": read[10:]}).data()
    assert "blocks" in spec["columns"][0]["stored"]
    assert sum(len(piece) for piece in memory) < read.nbytes
    for given in (changed, read[::2]):
        assert "rows" in sh.Arrays({"x": given}).data()[0]["columns"][0]["stored"]
    with pytest.raises(ValueError, match="byte order"):
        sh.Arrays({"x": read.view(">f4")})


@pytest.mark.parametrize("workers", [0, 1])
def test_a_file_that_was_changed_is_told_and_loses_nothing_else(workers: int, tmp_path: Path) -> None:
    for number in range(2):
        np.save(tmp_path / f"{number}.npy", np.arange(4) + 10 * number)
    source = sh.Npy({"x": [tmp_path / "0.npy", tmp_path / "1.npy"]})
    np.save(tmp_path / "1.npy", np.arange(100))
    with sh.Loader(source, batch_size=4, num_workers=workers, memory_limit="1MiB") as loader:
        epoch = iter(loader)
        assert next(epoch)["x"].tolist() == [0, 1, 2, 3]
        with pytest.raises(OSError, match=r"1\.npy: row 4.*changed after its index was made.*make the source again"):
            next(epoch)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda path: np.save(path, np.array([{}], object), allow_pickle=True), "unpickled"),
        (lambda path: np.save(path, np.asfortranarray(np.ones((3, 4)))), "lies by columns"),
        (lambda path: np.save(path, np.ones(3, ">f4")), "byte order"),
        (lambda path: np.save(path, np.ones(3, "c8")), "complex64"),
        (lambda path: np.save(path, np.array(3)), "is a scalar"),
        (lambda path: np.save(path, np.zeros(3, [("a", "i4")])), "dtype"),
        (lambda path: path.write_bytes(path.read_bytes()[:-1]), "is cut short.*needs 80 bytes, and 79 follow"),
        (lambda path: path.write_bytes(b""), "no array in NumPy's format"),
        (lambda path: path.write_bytes(b"\x93NUMPY\x01\x00\xff\xff{"), "header is none"),
        (lambda path: path.write_bytes(b"\x93NUMPY\x02\x00\xff\xff\xff\xff{"), "would have 4294967295 bytes"),
        (lambda path: path.write_bytes(path.read_bytes().replace(b"(10,)", b"(-1,)")), "its shape is"),
        (lambda path: path.write_bytes(path.read_bytes().replace(b"(10,), ", b"(1<<9,)")), "header is none"),
        (lambda path: path.write_bytes(path.read_bytes().replace(b"(10,)", b"9**9 ")), "header is none"),
    ],
)
def test_what_is_no_array_is_refused_by_name(change: Callable[[Path], Any], message: str, tmp_path: Path) -> None:
    path = tmp_path / "x.npy"
    np.save(path, np.arange(10))
    change(path)
    with pytest.raises(ValueError, match=message) as caught:
        sh.Npy({"x": path})
    assert "x.npy" in str(caught.value)


def test_arguments_are_checked(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.ones((3, 2)))
    np.save(tmp_path / "b.npy", np.ones((3, 3)))
    np.save(tmp_path / "c.npy", np.ones(4))
    np.savez_compressed(tmp_path / "d.npz", x=np.ones(3))
    np.savez(tmp_path / "e.npz", x=np.ones(3))
    paths = {name: tmp_path / f"{name}.npy" for name in "abc"}
    with pytest.raises(ValueError, match=r"b\.npy: array `x` has rows of float64\[3\].*a\.npy are float64\[2\]"):
        sh.Npy({"x": [paths["a"], paths["b"]]})
    with pytest.raises(ValueError, match="`x` has 3, `y` has 4"):
        sh.Npy({"x": paths["a"], "y": paths["c"]})
    with pytest.raises(ValueError, match="no arrays"):
        sh.Npy({})
    with pytest.raises(ValueError, match="no paths"):
        sh.Npy({"x": []})
    with pytest.raises(FileNotFoundError):
        sh.Npy({"x": tmp_path / "none.npy"})
    with pytest.raises(ValueError, match=r"d\.npz: x\.npy: is compressed.*use numpy\.savez"):
        sh.Npz(tmp_path / "d.npz")
    with pytest.raises(ValueError, match="no array `y`; there are x"):
        sh.Npz(tmp_path / "e.npz", {"a": "y"})
    with pytest.raises(ValueError, match="no zip file"):
        sh.Npz(tmp_path / "a.npy")
    with zipfile.ZipFile(tmp_path / "f.npz", "w") as archive:
        archive.writestr("../x.txt", "")
    with pytest.raises(ValueError, match=r"is no \.npy file"):
        sh.Npz(tmp_path / "f.npz")


def _file(table: object, data: bytes = b"12345678") -> bytes:
    header = json.dumps(table).encode()
    return len(header).to_bytes(8, "little") + header + data


def tensor(begin: object, end: object, shape: object = (1,), dtype: object = "I32") -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "header would have 0 bytes of 0"),
        ((2**63).to_bytes(8, "little"), "header would have"),
        (_file([]), "there are no arrays"),
        (_file([1]), "no object of JSON"),
        (_file({"a": tensor(0, 4), "b": tensor(2, 6)}), "starts at byte .* before it ends"),
        (_file({"a": tensor(0, 4), "b": tensor(6, 10)}), "has 4 of the 8"),
        (_file({"a": tensor(4, 0)}), "has -4"),
        (_file({"a": tensor(0, 4), "b": tensor(0, 4)}), "starts at byte"),
        (_file({"a": tensor(0, 4, [2**62, 4])}), "needs 73786976294838206464 bytes"),
        (_file({"a": tensor(-4, 0)}), "from byte -4"),
        (_file({"a": tensor(0, 4, dtype="F8_E4M3")}), "F8_E4M3"),
        (_file({"a": tensor(0, 4, [])}), "scalar"),
        (_file({"a": {"dtype": "I32"}}), "lacks a dtype, a shape"),
        (_file({"a": tensor(True, 4)}), "from byte True"),
    ],
)
def test_hostile_safetensors_are_refused(content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "x.safetensors").write_bytes(content)
    with pytest.raises(ValueError, match=message):
        sh.Safetensors(tmp_path / "x.safetensors")


@pytest.mark.parametrize("writer", WRITERS[:3])
def test_damaged_files_are_refused_or_read(writer: Writer, tmp_path: Path) -> None:
    """Whatever a byte becomes, and wherever the file ends: no exception but ours, and no read beyond the file."""
    whole = writer(tmp_path, {"x": np.arange(20, dtype=np.int16)})
    path = next(file for file in tmp_path.iterdir())
    content = path.read_bytes()
    chance = random.Random(0)
    for _ in range(300):
        damaged = bytearray(content)
        for _ in range(chance.randint(1, 3)):
            damaged[chance.randrange(len(damaged))] = chance.randrange(256)
        path.write_bytes(damaged[: chance.choice([len(damaged), chance.randrange(len(damaged))])])
        given: Any = {"x": path} if writer is by_npy else path
        try:
            source = type(whole)(given)
        except ValueError:
            continue
        with sh.Loader(source, num_workers=0, memory_limit="64MiB") as loader:
            for _ in loader:
                pass


def test_a_scalar_of_brackets_does_not_overflow(tmp_path: Path) -> None:
    head = b"{'descr': '<i4', 'fortran_order': False, 'shape': " + b"(" * 60_000
    file = io.BytesIO()
    file.write(b"\x93NUMPY\x01\x00" + len(head).to_bytes(2, "little") + head)
    (tmp_path / "x.npy").write_bytes(file.getvalue())
    with pytest.raises(ValueError, match="header is none"):
        sh.Npy({"x": tmp_path / "x.npy"})
