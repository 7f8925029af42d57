"""Arrow files, and datasets that Hugging Face's own package wrote, beside what pyarrow and it read from them."""

from __future__ import annotations

import decimal
import io
import random
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

import stokehold as sh

pa = pytest.importorskip("pyarrow")

import pyarrow.feather  # noqa: E402 (without pyarrow there is nothing to test)

Table = Any
Writer = Callable[[Path, Table, int], None]


def write_file(path: Path, table: Table, rows: int) -> None:
    with pa.ipc.new_file(path, table.schema) as writer:
        writer.write_table(table, rows)


def write_stream(path: Path, table: Table, rows: int) -> None:
    with pa.ipc.new_stream(path, table.schema) as writer:
        writer.write_table(table, rows)


def write_compressed(path: Path, table: Table, rows: int) -> None:
    with pa.ipc.new_file(path, table.schema, options=pa.ipc.IpcWriteOptions(compression="zstd")) as writer:
        writer.write_table(table, rows)


def write_feather(path: Path, table: Table, rows: int) -> None:
    pyarrow.feather.write_feather(table, str(path), compression="lz4", chunksize=rows)


@pytest.fixture(scope="module", autouse=True)
def _threads_of_pyarrow() -> None:
    """Has pyarrow start the threads that it keeps, with which it compresses, before anybody counts threads."""
    table = pa.table({str(at): np.arange(10_000) for at in range(50)})
    for _ in range(3):
        sink = pa.BufferOutputStream()
        pyarrow.feather.write_feather(table, sink, compression="lz4")


WRITERS = [write_file, write_stream, write_compressed, write_feather]


def samples(source: sh.Table, workers: int = 0, **options: Any) -> Iterator[dict[str, Any]]:
    """The samples of a source, as arrays."""
    with sh.Loader(source, batch_size=7, num_workers=workers, memory_limit="64MiB", **options) as loader:
        for batch in loader:
            for row in range(len(batch.indices)):
                yield {name: np.array(batch[name][row]) for name in batch}


def plain(value: Any) -> Any:
    """A value of pyarrow's as the sample has it."""
    if isinstance(value, str):
        return list(value.encode())
    if isinstance(value, bytes):
        return list(value)
    return value


def assert_same(source: sh.Table, rows: list[dict[str, Any]], workers: int = 0) -> None:
    assert len(source) == len(rows)
    for sample, row in zip(samples(source, workers), rows, strict=True):
        assert {name: value.tolist() for name, value in sample.items()} == {name: plain(row[name]) for name in sample}


def numbers(rows: int) -> Table:
    """A table of all types of numbers, and of lists of them."""
    chance = np.random.default_rng(3)
    columns: dict[str, Any] = {}
    for name in (
        "int8",
        "int16",
        "int32",
        "int64",
        "uint8",
        "uint16",
        "uint32",
        "uint64",
        "float16",
        "float32",
        "float64",
    ):
        columns[name] = pa.array(chance.integers(0, 100, rows).astype(name))
        few = pa.array(chance.integers(0, 100, rows * 3).astype(name))
        columns[f"3 {name}"] = pa.FixedSizeListArray.from_arrays(few, 3)
        ends = np.concatenate([[0], np.sort(chance.integers(0, rows * 3, rows))])
        columns[f"? {name}"] = pa.ListArray.from_arrays(pa.array(ends.astype(np.int32)), few)
        columns[f"large {name}"] = pa.LargeListArray.from_arrays(pa.array(ends), few)
    columns["bool"] = pa.array(chance.random(rows) < 0.5)
    columns["bools"] = pa.array([[True] * (at % 4) + [False] for at in range(rows)])
    columns["deep"] = pa.FixedSizeListArray.from_arrays(
        pa.FixedSizeListArray.from_arrays(pa.array(np.arange(rows * 24)), 6), 4
    )
    columns["pairs"] = pa.array([[[at, 1], [2, 3]][: at % 3] for at in range(rows)], pa.list_(pa.list_(pa.int32(), 2)))
    return pa.table(columns)


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("workers", [0, 2])
def test_numbers_and_lists_are_those_of_pyarrow(writer: Writer, workers: int, tmp_path: Path) -> None:
    table = numbers(50)
    writer(tmp_path / "a.arrow", table, 13)
    assert_same(sh.Arrow(tmp_path / "a.arrow"), table.to_pylist(), workers)


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("workers", [0, 2])
def test_texts_and_bytes_are_those_of_pyarrow(writer: Writer, workers: int, tmp_path: Path) -> None:
    texts = ["", "ä", "a longer text than a view holds", "x" * 100] * 6
    content = [text.encode() + b"\xff\0" for text in texts]
    table = pa.table(
        {
            "text": pa.array(texts),
            "large text": pa.array(texts, pa.large_string()),
            "binary": pa.array(content),
            "large binary": pa.array(content, pa.large_binary()),
            "fixed": pa.array([bytes([at] * 5) for at in range(24)], pa.binary(5)),
            "dictionary": pa.array(texts).dictionary_encode(),
            "codes": pa.array([at % 5 for at in range(24)]).dictionary_encode(),
            "empty": pa.array([""] * 24),
            "struct": pa.array([{"x": at, "deep": {"y": str(at)}} for at in range(24)]),
        }
    )
    writer(tmp_path / "a.arrow", table, 7)
    source = sh.Arrow(tmp_path / "a.arrow")
    expected = [
        row | {"struct.x": row["struct"]["x"], "struct.deep.y": row["struct"]["deep"]["y"]} for row in table.to_pylist()
    ]
    assert_same(source, expected, workers)
    assert repr(source).startswith("Arrow(24 rows of text: text, large text: text, binary: bytes,")


@pytest.mark.skipif(not hasattr(pa, "string_view"), reason="pyarrow has no views")
def test_views_of_texts_are_copied(tmp_path: Path) -> None:
    texts = ["short", "a text that is too long for its view", "", "ä" * 40]
    table = pa.table({"text": pa.array(texts, pa.string_view()), "bytes": pa.array([b"1" * 50] * 4, pa.binary_view())})
    write_file(tmp_path / "a.arrow", table, 2)
    assert_same(sh.Arrow(tmp_path / "a.arrow"), table.to_pylist())


@pytest.mark.skipif(not hasattr(pa, "string_view"), reason="pyarrow has no views")
def test_views_that_lead_elsewhere_are_refused(tmp_path: Path) -> None:
    view = np.array([20, 0, 0, 1000], np.int32)
    texts = pa.StringViewArray.from_buffers(pa.string_view(), 1, [None, pa.py_buffer(view), pa.py_buffer(bytes(20))])
    write_file(tmp_path / "a.arrow", pa.table({"x": texts}), 1)
    with pytest.raises(ValueError, match=r"Arrow: .*a\.arrow, record batch 0: column `x`: View at slot 0"):
        sh.Arrow(tmp_path / "a.arrow")


def test_dates_and_times_are_numbers_in_their_unit(tmp_path: Path) -> None:
    units = {"days": pa.date32(), "seconds": pa.time32("s"), "ns": pa.time64("ns"), "us": pa.timestamp("us", "UTC")}
    units |= {"ms": pa.date64(), "duration": pa.duration("s")}
    width = {name: np.int32 if kind.bit_width == 32 else np.int64 for name, kind in units.items()}
    table = pa.table(
        {
            name: pa.array(np.arange(5, dtype=width[name]) * 86_400_000).cast(kind)
            if name == "ms"
            else pa.array(np.arange(5, dtype=width[name])).cast(kind)
            for name, kind in units.items()
        }
    )
    write_stream(tmp_path / "a.arrow", table, 3)
    for at, sample in enumerate(samples(sh.Arrow(tmp_path / "a.arrow"))):
        assert {value.dtype.name for value in sample.values()} == {"int64"}
        assert {name: int(value) for name, value in sample.items()} == {
            name: at * (86_400_000 if name == "ms" else 1) for name in units
        }


def test_nothing_large_is_copied(tmp_path: Path) -> None:
    table = pa.table({"image": pa.array([bytes([at]) * 5000 for at in range(100)]), "row": numbers(100)["deep"]})
    for writer in (write_file, write_stream):
        writer(tmp_path / "a.arrow", table, 30)
        spec, memory = sh.Arrow(tmp_path / "a.arrow").data()
        assert [list(column["stored"]) for column in spec["columns"]] == [["parts"], ["blocks"]]
        assert sum(len(piece) for piece in memory) < 10_000
    write_compressed(tmp_path / "a.arrow", table, 30)
    spec, _ = sh.Arrow(tmp_path / "a.arrow").data()
    assert [list(column["stored"]) for column in spec["columns"]] == [["runs"], ["rows"]]


def test_large_rows_are_read_and_small_ones_mapped(tmp_path: Path) -> None:
    for size, is_mapped in [(1000, True), (100_000, False)]:
        content = [bytes([at]) * size for at in range(9)]
        write_file(tmp_path / "a.arrow", pa.table({"x": content}), 4)
        source = sh.Arrow(tmp_path / "a.arrow")
        assert source.data()[0]["shards"]["mapped"] == is_mapped
        assert_same(source, [{"x": each} for each in content], 1)


def test_columns_are_chosen_and_renamed_and_files_follow_each_other(tmp_path: Path) -> None:
    table = pa.table({"a": list(range(10)), "b": [str(at) for at in range(10)], "c": pa.array([None] * 10)})
    write_file(tmp_path / "a.arrow", table, 3)
    write_stream(tmp_path / "b.arrow", table.slice(2, 5), 2)
    paths = [tmp_path / "a.arrow", tmp_path / "b.arrow"]
    source = sh.Arrow(paths, columns={"text": "b", "again": "b", "number": "a"})
    rows = [*table.to_pylist(), *table.slice(2, 5).to_pylist()]
    assert_same(source, [{"text": row["b"], "again": row["b"], "number": row["a"]} for row in rows], 1)
    for columns, message in [
        (["d"], r"there is no column `d`; there are a, b, c"),
        (["a", "a"], "a name more than once"),
        (["c"], r"column `c` is a null; what is read .* leave it out by columns="),
    ]:
        with pytest.raises(ValueError, match=message):
            sh.Arrow(paths, columns=columns)
    write_file(tmp_path / "b.arrow", pa.table({"a": [1.5]}), 3)
    with pytest.raises(
        ValueError, match=r"b\.arrow has other columns than .*a\.arrow: `a` of double, not `a` of int64"
    ):
        sh.Arrow(paths)


NULLED = {
    "number": [1, None, 3],
    "list": [[1.5], [None, 2.5], None],
    "fixed": pa.array([[1, 2], None, [None, 4]], pa.list_(pa.int8(), 2)),
    "text": ["a", None, ""],
    "within": pa.array([{"x": 1, "y": b"1"}, None, {"x": None, "y": b"3"}]),
}


def test_nulls_are_errors_that_name_their_row(tmp_path: Path) -> None:
    write_file(tmp_path / "a.arrow", pa.table(NULLED), 2)
    for column, batch, row, message in [
        ("number", 0, 1, "is null"),
        ("list", 0, 1, "has a null in its list"),
        ("fixed", 0, 1, "is null"),
        ("text", 0, 1, "is null"),
        ("within.x", 0, 1, "is null"),
        ("within.y", 0, 1, "is null"),
    ]:
        where = rf"Arrow: .*a\.arrow, record batch {batch}, row {row}: column `{column}` {message}; nulls='fill'"
        with pytest.raises(ValueError, match=where):
            sh.Arrow(tmp_path / "a.arrow", columns=[column])


def test_nulls_are_filled_and_counted_and_masked(tmp_path: Path) -> None:
    for writer in WRITERS:
        writer(tmp_path / "a.arrow", pa.table(NULLED), 2)
        source = sh.Arrow(tmp_path / "a.arrow", nulls="fill")
        expected = [
            {"number": 1, "list": [1.5], "fixed": [1, 2], "text": "a", "within.x": 1, "within.y": b"1"},
            {"number": 0, "list": [0, 2.5], "fixed": [0, 0], "text": "", "within.x": 0, "within.y": b""},
            {"number": 3, "list": [], "fixed": [0, 4], "text": "", "within.x": 0, "within.y": b"3"},
        ]
        assert_same(source, expected)
        assert source.counters == {
            f"nulls_of_{name}": count
            for name, count in [("number", 1), ("list", 2), ("fixed", 2), ("text", 1), ("within.x", 2), ("within.y", 1)]
        }
        fill: dict[str, Any] = {"number": -1, "list": 9, "fixed": 7, "text": "none", "within.x": 5, "within.y": b"?"}
        source = sh.Arrow(tmp_path / "a.arrow", fill=fill)
        expected[1] |= {
            "number": -1,
            "list": [9, 2.5],
            "fixed": [7, 7],
            "text": "none",
            "within.x": 5,
            "within.y": b"?",
        }
        expected[2] |= {"fixed": [7, 4], "within.x": 5}
        assert_same(source, expected, 1)
    masked = list(samples(sh.Arrow(tmp_path / "a.arrow", nulls="mask", columns=["number", "list"])))
    assert [bool(sample["number_valid"]) for sample in masked] == [True, False, True]
    assert [bool(sample["list_valid"]) for sample in masked] == [True, True, False]
    for name, value, message in [
        ("number", 1.5, "which int64 does not hold"),
        ("fixed", 300, "which int8 does not hold"),
        ("nothing", 1, "fill names `nothing`, and the fields are"),
    ]:
        with pytest.raises(ValueError, match=message):
            sh.Arrow(tmp_path / "a.arrow", fill={name: value})
    with pytest.raises(TypeError, match="must be a number, not str"):
        sh.Arrow(tmp_path / "a.arrow", fill={"number": "1"})
    with pytest.raises(TypeError, match="must be a text or bytes, not int"):
        sh.Arrow(tmp_path / "a.arrow", fill={"text": 1})


def test_lists_take_a_shape(tmp_path: Path) -> None:
    table = pa.table({"x": [[at] * 6 for at in range(5)], "y": [[[at, 1], [2, 3]][: at % 3] for at in range(5)]})
    write_stream(tmp_path / "a.arrow", table, 2)
    source = sh.Arrow(tmp_path / "a.arrow", shapes={"x": (6,), "y": (None, 2)})
    assert repr(source) == "Arrow(5 rows of x: int64[6], y: list)"
    assert_same(source, table.to_pylist(), 1)
    for shapes, message in [
        (
            {"x": (5,), "y": (None, 2)},
            r"a\.arrow, record batch 0, row 0: column `x` is a list of another shape than that of the field",
        ),
        ({"x": (6,), "y": (None, 3)}, r"record batch 0, row 1: column `y` is a list of another shape"),
        ({"x": (6,)}, r"column `y` is a list<.*whose lengths are not known: give shapes={'y': \(None, \.\.\.\)}"),
        ({"x": (6, 1), "y": (None, 2)}, "cannot have"),
        ({"x": (0,), "y": (None, 2)}, r"shapes\['x'\]\[0\] must be 1 or more, or None, not 0"),
        ({"x": (3, None), "y": (None, 2)}, r"shapes\['x'\] may have None first, and nowhere else"),
    ]:
        with pytest.raises(ValueError, match=message):
            sh.Arrow(tmp_path / "a.arrow", shapes=shapes)  # type: ignore[arg-type]


def test_what_has_no_kind_is_refused_by_name(tmp_path: Path) -> None:
    class Other(pa.ExtensionType):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__(pa.int32(), "test.other")

        def __arrow_ext_serialize__(self) -> bytes:
            return b""

        @classmethod
        def __arrow_ext_deserialize__(cls, _storage: Any, _serialized: bytes) -> Any:
            return cls()

    columns = {
        "decimal": pa.array([decimal.Decimal("1.5")]),
        "map": pa.array([[("a", 1)]], pa.map_(pa.string(), pa.int8())),
        "texts": pa.array([["a"]]),
        "structs": pa.array([[{"a": 1}]]),
        "extension": pa.ExtensionArray.from_storage(Other(), pa.array([1], pa.int32())),
        "struct": pa.array([{"a": 1}]),
    }
    write_file(tmp_path / "a.arrow", pa.table(columns), 1)
    for name in columns:
        with pytest.raises(ValueError, match=f"column `{name}` is "):
            sh.Arrow(tmp_path / "a.arrow", columns=[name])
    with pytest.raises(ValueError, match=r"extension type `test.other`"):
        sh.Arrow(tmp_path / "a.arrow", columns=["extension"])
    with pytest.raises(ValueError, match=r"its columns are `struct\.a`"):
        sh.Arrow(tmp_path / "a.arrow", columns=["struct"])
    with pytest.raises(ValueError, match=r"column `texts` .*no image file|column `texts` is a list"):
        sh.Arrow(tmp_path / "a.arrow", columns=["texts"], images=["texts"])
    with pytest.raises(ValueError, match="nulls must be"):
        sh.Arrow(tmp_path / "a.arrow", nulls="none")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="columns must be a sequence of names"):
        sh.Arrow(tmp_path / "a.arrow", columns="decimal")


def test_files_that_are_none_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no paths"):
        sh.Arrow([])
    with pytest.raises(FileNotFoundError):
        sh.Arrow(tmp_path / "none.arrow")
    for content, message in [
        (b"", "it is empty"),
        (b"FEA1" + bytes(20), "version 1 of Feather"),
        (b"PAR1", "no Arrow file"),
    ]:
        (tmp_path / "a.arrow").write_bytes(content)
        with pytest.raises(ValueError, match=rf"a\.arrow is .*{message}"):
            sh.Arrow(tmp_path / "a.arrow")
    write_file(tmp_path / "a.arrow", pa.table({"a": pa.array([], pa.int8())}), 1)
    with pytest.raises(ValueError, match="there are no rows"):
        sh.Arrow(tmp_path / "a.arrow")


def damaged(content: bytes, count: int) -> Iterator[bytes]:
    chance = random.Random(0)
    for at in range(count):
        changed = bytearray(content)
        if at % 3:
            for _ in range(chance.randint(1, 4)):
                changed[chance.randrange(len(changed))] = chance.randrange(256)
        yield bytes(changed if at % 3 == 1 else changed[: chance.randrange(len(changed))])


@pytest.mark.parametrize("writer", WRITERS)
def test_damaged_files_are_refused_or_read(writer: Writer, tmp_path: Path) -> None:
    """Whatever a byte becomes, and wherever the file ends: no exception but ours, and no read beyond the file."""
    table = pa.table(
        NULLED | {"dictionary": pa.array(["a", "b", "a"]).dictionary_encode(), "bool": [True, False, True]}
    )
    writer(tmp_path / "a.arrow", table, 2)
    for content in damaged((tmp_path / "a.arrow").read_bytes(), 300):
        (tmp_path / "a.arrow").write_bytes(content)
        try:
            source = sh.Arrow(tmp_path / "a.arrow", nulls="fill")
        except ValueError:
            continue
        with sh.Loader(source, batch_size=2, num_workers=0, memory_limit="64MiB") as loader:
            for _ in loader:
                pass


def write_compressed_stream(path: Path, table: Table, rows: int) -> None:
    with pa.ipc.new_stream(path, table.schema, options=pa.ipc.IpcWriteOptions(compression="lz4")) as writer:
        writer.write_table(table, rows)


# 8000 bytes of numbers, in the batch itself or in its dictionary.
UNPACKED = {"batch": pa.array(np.zeros(1000, np.int64)), "dictionary": pa.array(range(1000)).dictionary_encode()}


@pytest.mark.parametrize("where", UNPACKED)
@pytest.mark.parametrize("writer", [write_compressed, write_feather, write_compressed_stream])
def test_buffers_that_would_unpack_to_too_much_are_refused_before(writer: Writer, where: str, tmp_path: Path) -> None:
    path = tmp_path / "a.arrow"
    writer(path, pa.table({"a": UNPACKED[where]}), 1000)
    assert len(sh.Arrow(path)) == 1000
    content = path.read_bytes()
    size = (8000).to_bytes(8, "little")
    assert size in content
    before = pa.default_memory_pool().bytes_allocated()
    for unpacked in [2**30 + 1, 2**40, 2**63 - 1]:
        path.write_bytes(content.replace(size, unpacked.to_bytes(8, "little")))
        with pytest.raises(ValueError, match=r"a\.arrow cannot be read: its compressed buffers say .* are allowed"):
            sh.Arrow(path)
    assert pa.default_memory_pool().bytes_allocated() == before


def test_the_bound_is_of_the_body_that_the_footer_names(tmp_path: Path) -> None:
    """A message says the length of its metadata, and so does the footer: pyarrow goes by the latter."""
    path = tmp_path / "a.arrow"
    write_compressed(path, pa.table({"a": UNPACKED["batch"]}), 1000)
    content = bytearray(path.read_bytes())
    body = content.index((8000).to_bytes(8, "little"))
    start = content.rindex(b"\xff\xff\xff\xff", 0, body)
    content[body + 8 : body + 16] = (2**40).to_bytes(8, "little")
    told = content.rindex(struct.pack("<qi", start, body - start))
    struct.pack_into("<qi", content, told, start, body - start + 8)
    path.write_bytes(content)
    with pytest.raises(ValueError, match="its compressed buffers say that they unpack to 1099511627776 bytes"):
        sh.Arrow(path)


def test_footers_that_lead_to_no_message_are_refused(tmp_path: Path) -> None:
    """Whichever of a footer's numbers leads to where the messages end."""
    path, refused = tmp_path / "a.arrow", 0
    write_compressed(path, pa.table({"a": UNPACKED["batch"]}), 1000)
    content = path.read_bytes()
    end = content.rindex(b"\xff\xff\xff\xff\0\0\0\0")
    for at in range(end + 8, len(content) - 18, 4):
        path.write_bytes(content[:at] + end.to_bytes(8, "little") + content[at + 8 :])
        try:
            sh.Arrow(path)
        except ValueError as error:
            refused += "where there is no message" in str(error)
    assert refused


def test_what_compresses_well_is_read_up_to_the_limit(tmp_path: Path) -> None:
    """A thousand times smaller than what it holds."""
    write_compressed(tmp_path / "a.arrow", pa.table({"a": np.zeros(1_000_000)}), 1_000_000)
    assert (tmp_path / "a.arrow").stat().st_size < 8000
    assert len(sh.Arrow(tmp_path / "a.arrow")) == 1_000_000


@pytest.mark.parametrize("kind", [pa.string(), pa.list_(pa.int8())])
@pytest.mark.parametrize("ends", [[0, 5, 3, 6], [0, 1, 2, 9], [-1, 1, 2, 6], [2**31 - 1, 1, 2, 3]])
def test_offsets_that_lead_elsewhere_are_refused(kind: Any, ends: list[int], tmp_path: Path) -> None:
    """pyarrow looks at the first and the last of them alone."""
    good = [b"a", b"bc", b"def"] if kind == pa.string() else [[1], [2, 3], [4, 5, 6]]
    write_stream(tmp_path / "a.arrow", pa.table({"x": pa.array(good, kind)}), 3)
    content = (tmp_path / "a.arrow").read_bytes()
    before = np.array([0, 1, 3, 6], np.int32).tobytes()
    assert content.count(before) == 1
    (tmp_path / "a.arrow").write_bytes(content.replace(before, np.array(ends, np.int32).tobytes()))
    with pytest.raises(ValueError, match=r"Arrow: .*a\.arrow, record batch 0.*"):
        sh.Arrow(tmp_path / "a.arrow")


@pytest.mark.parametrize("workers", [0, 1])
def test_a_file_that_was_changed_is_told(workers: int, tmp_path: Path) -> None:
    table = pa.table({"x": ["a" * 40, "b" * 40]})
    write_file(tmp_path / "a.arrow", table, 1)
    source = sh.Arrow(tmp_path / "a.arrow")
    write_file(tmp_path / "a.arrow", pa.concat_tables([table, table]), 1)
    with (
        pytest.raises(OSError, match=r"a\.arrow: row 0.*changed after its index was made.*make the source again"),
        sh.Loader(source, batch_size=2, num_workers=workers, memory_limit="1MiB") as loader,
    ):
        next(iter(loader))


def png(pixels: npt.NDArray[np.uint8]) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "png")
    return file.getvalue()


def pictures(count: int) -> list[npt.NDArray[np.uint8]]:
    return [np.random.default_rng(at).integers(0, 256, (6, 5 + at % 3, 3), np.uint8) for at in range(count)]


def test_images_by_choice(tmp_path: Path) -> None:
    content = [png(pixels) for pixels in pictures(5)]
    table = pa.table({"plain": content, "file": [{"bytes": each, "path": None} for each in content], "text": ["a"] * 5})
    write_file(tmp_path / "a.arrow", table, 2)
    source = sh.Arrow(tmp_path / "a.arrow", columns={"x": "plain", "y": "file", "z": "file"}, images=["x", "y"])
    assert repr(source) == "Arrow(5 rows of x: image, y: image, z: bytes)"
    loaded = samples(source, 1, capacity={"x": 64, "y": 64})
    for sample, pixels, each in zip(loaded, pictures(5), content, strict=True):
        np.testing.assert_array_equal(sample["x"], pixels)
        np.testing.assert_array_equal(sample["y"], pixels)
        assert sample["z"].tobytes() == each
    with pytest.raises(ValueError, match="column `text` is a string, which holds no image files"):
        sh.Arrow(tmp_path / "a.arrow", columns=["text"], images=["text"])
