"""Rows of Parquet files, against what pyarrow reads of the files that it has written."""

from __future__ import annotations

import io
import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import stokehold as sh
from support import PROGRAM_SECONDS

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")
image = pytest.importorskip("PIL.Image")


@pytest.fixture(scope="module", autouse=True)
def _pyarrow_has_its_threads(tmp_path_factory: pytest.TempPathFactory) -> None:
    # They stay, and count as left behind by the first test that needs them.
    pa.set_cpu_count(1)
    pa.set_io_thread_count(1)
    path = tmp_path_factory.mktemp("first") / "a.parquet"
    pq.write_table(pa.table({"x": [1], "y": [1]}), path)
    pq.read_table(path)


CODECS = ["NONE", "SNAPPY", "GZIP", "BROTLI", "ZSTD", "LZ4"]
PAGES = ["1.0", "2.0"]


def write(path: Path, columns: dict[str, Any], **options: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    table = columns if isinstance(columns, pa.Table) else pa.table(columns)
    pq.write_table(table, path, **options)
    return path


def load(source: sh.Parquet, workers: int = 0, **options: Any) -> dict[str, list[Any]]:
    """Returns the rows of each field, in the order of an epoch."""
    rows: dict[str, list[Any]] = {}
    with sh.Loader(source, batch_size=7, num_workers=workers, **options) as loader:
        for batch in loader:
            for name, field in batch.items():
                rows.setdefault(name, []).extend(np.array(row) for row in field)
    return rows


def same(ours: list[Any], theirs: Any) -> None:
    """Compares rows with a column of pyarrow's."""
    expected = theirs.to_pylist()
    assert len(ours) == len(expected)
    for row, value in zip(ours, expected, strict=True):
        if isinstance(value, str | bytes):
            assert row.tobytes() == (value.encode() if isinstance(value, str) else value)
        elif value == []:
            assert row.size == 0
        else:
            np.testing.assert_array_equal(row, np.array(value, row.dtype), strict=True)


def numbers(rows: int) -> dict[str, Any]:
    rng = np.random.default_rng(rows)
    names = ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"]
    columns: dict[str, Any] = {}
    for name in names:
        info = np.iinfo(name)
        columns[name] = pa.array(rng.integers(info.min, info.max, rows, name, endpoint=True))
    for name in ("float16", "float32", "float64"):
        columns[name] = pa.array(rng.standard_normal(rows).astype(name))
    columns["bool"] = pa.array(rng.integers(0, 2, rows).astype(bool))
    columns["few"] = pa.array(rng.integers(0, 3, rows))
    return columns


def nested(rows: int) -> dict[str, Any]:
    rng = np.random.default_rng(rows)
    lengths = rng.integers(0, 9, rows)
    ragged = [rng.integers(0, 1000, n).tolist() for n in lengths]
    fixed = pa.FixedSizeListArray.from_arrays(pa.array(rng.standard_normal(rows * 6), pa.float32()), 6)
    boxes = pa.array(
        [[[float(x) for x in rng.random(4)] for _ in range(n)] for n in lengths], pa.list_(pa.list_(pa.float32(), 4))
    )
    return {
        "ragged": pa.array(ragged, pa.list_(pa.int32())),
        "large": pa.array(ragged, pa.large_list(pa.int64())),
        "fixed": fixed,
        "boxes": boxes,
        "text": pa.array([f"row {'ü' * int(n)}" for n in lengths]),
        "words": pa.array([f"word {n}" for n in lengths]).dictionary_encode(),
        "binary": pa.array([rng.bytes(int(n)) for n in lengths], pa.binary()),
        "four": pa.array([rng.bytes(4) for _ in range(rows)], pa.binary(4)),
    }


@pytest.mark.parametrize("version", PAGES)
@pytest.mark.parametrize("codec", CODECS)
def test_every_codec_and_page_version(tmp_path: Path, codec: str, version: str) -> None:
    columns = numbers(50) | nested(50)
    path = write(
        tmp_path / "a.parquet",
        columns,
        compression=codec,
        data_page_version=version,
        row_group_size=20,
        data_page_size=64,
    )
    rows = load(sh.Parquet(path))
    assert list(rows) == list(columns)
    for name, column in columns.items():
        same(rows[name], column)


ENCODINGS = {
    "PLAIN": None,
    "DELTA_BINARY_PACKED": ["int32", "int64"],
    "BYTE_STREAM_SPLIT": ["float32", "float64", "int32", "int64", "float16"],
    "DELTA_LENGTH_BYTE_ARRAY": ["text", "binary"],
    "DELTA_BYTE_ARRAY": ["text", "binary", "four"],
    "RLE": ["bool"],
}


@pytest.mark.parametrize("version", PAGES)
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_every_encoding(tmp_path: Path, encoding: str, version: str) -> None:
    everything = numbers(300) | nested(300)
    names = ENCODINGS[encoding] or [name for name in everything if name != "words"]
    columns = {name: everything[name] for name in names}
    options = {
        "use_dictionary": False,
        "column_encoding": encoding if ENCODINGS[encoding] is None else dict.fromkeys(names, encoding),
    }
    path = write(tmp_path / "a.parquet", columns, data_page_version=version, data_page_size=256, **options)
    used = {
        encoding
        for i in range(len(names))
        for encoding in pq.ParquetFile(path).metadata.row_group(0).column(i).encodings
    }
    assert encoding in used
    rows = load(sh.Parquet(path))
    for name, column in columns.items():
        same(rows[name], column)


def test_times_are_counts_in_their_unit(tmp_path: Path) -> None:
    counts = [0, 1, -5, 86_399]
    types = {
        "days": pa.date32(), "milliseconds": pa.date64(), "ms": pa.timestamp("ms"), "us": pa.timestamp("us", "UTC"),
        "ns": pa.timestamp("ns"), "time32": pa.time32("ms"), "time64": pa.time64("us"), "duration": pa.duration("us"),
    }  # fmt: skip
    columns = {}
    for name, kind in types.items():
        values = [abs(n) for n in counts] if name.startswith("time") else counts
        values = [n * 86_400_000 for n in values] if name == "milliseconds" else values
        columns[name] = pa.array(values, pa.int32() if kind.bit_width == 32 else pa.int64()).cast(kind)
    rows = load(sh.Parquet(write(tmp_path / "a.parquet", columns)))
    for name, column in columns.items():
        width = pa.int32() if column.type.bit_width == 32 else pa.int64()
        expected = column.cast(width).to_pylist()
        if name == "milliseconds":
            # Parquet has dates as days, and that is what pyarrow writes.
            expected = [n if max(expected) in map(int, rows[name]) else n // 86_400_000 for n in expected]
        assert [int(row) for row in rows[name]] == expected
        assert rows[name][0].dtype == np.int64


def test_columns_are_chosen_and_renamed(tmp_path: Path) -> None:
    inner = pa.StructArray.from_arrays([pa.array([1, 2]), pa.array(["x", "y"])], ["width", "name"])
    path = write(tmp_path / "a.parquet", {"a": [1, 2], "b.c": [3, 4], "meta": inner, "bad": [[["x"]], [["y"]]]})
    source = sh.Parquet(path, columns={"first": "a", "width": "meta.width", "dotted": "b.c"})
    assert source.fields == ["first", "width", "dotted"]
    rows = load(source)
    assert [int(row) for row in rows["width"]] == [1, 2]
    assert [int(row) for row in rows["dotted"]] == [3, 4]
    assert sh.Parquet(path, columns=["b.c", "a"]).fields == ["b.c", "a"]
    with pytest.raises(ValueError, match=r"there is no column `nope`; columns are a, b.c, meta, bad"):
        sh.Parquet(path, columns=["nope"])
    with pytest.raises(ValueError, match=r"column `bad` is a list of texts or bytes"):
        sh.Parquet(path, columns=["bad"])
    with pytest.raises(ValueError, match=r"`meta` is a struct of width, name"):
        sh.Parquet(path, columns=["meta"])
    with pytest.raises(ValueError, match="'a' more than once"):
        sh.Parquet(path, columns=["a", "a"])


def test_shapes_make_lists_dense(tmp_path: Path) -> None:
    columns = {"x": [[1.0, 2.0], [3.0, 4.0], [5.0]], "y": [[[1, 2]], [], [[3, 4], [5, 6]]]}
    path = write(tmp_path / "a.parquet", columns)
    with pytest.raises(ValueError, match=r'column `y` is a list of lists: .*shapes=\{"y": \(None, 4\)\}'):
        sh.Parquet(path)
    source = sh.Parquet(path, shapes={"x": (2,), "y": (None, 2)})
    with sh.Loader(source, batch_size=2, num_workers=0) as loader:
        assert (loader.spec["x"].shape, loader.spec["y"].shape) == ((2,), (None, 2))
        batches = iter(loader)
        batch = next(batches)
        np.testing.assert_array_equal(batch["x"], [[1, 2], [3, 4]])
        assert [row.tolist() for row in batch["y"]] == [[[1, 2]], []]
        with pytest.raises(sh.DecodeError, match=r"row group 0, row 2`\): column `x` has a list of another length"):
            next(batches)
    with pytest.raises(ValueError, match=r"has axes of extents \(None, None\), and shapes says \(2\)"):
        sh.Parquet(path, shapes={"y": (2,)})
    with pytest.raises(ValueError, match="shapes names `z`, which is no field"):
        sh.Parquet(path, shapes={"y": (None, 2), "z": (2,)})


def test_nulls_by_policy(tmp_path: Path) -> None:
    columns = {
        "n": pa.array([1, None, 3]), "x": pa.array([None, 0.5, 1.5], pa.float32()), "text": ["a", None, "ccc"],
        "list": pa.array([[1, None], None, []], pa.list_(pa.int16())), "flag": [True, None, False],
    }  # fmt: skip
    path = write(tmp_path / "a.parquet", columns)
    with sh.Loader(sh.Parquet(path), num_workers=0) as loader, pytest.raises(sh.DecodeError) as caught:
        next(iter(loader))
    assert "column `x` is null" in str(caught.value)
    assert caught.value.key == f"{path} row group 0, row 0"

    filled = load(sh.Parquet(path, nulls="fill"))
    assert [int(row) for row in filled["n"]] == [1, 0, 3]
    assert [row.tolist() for row in filled["list"]] == [[1, 0], [], []]
    assert [row.tobytes() for row in filled["text"]] == [b"a", b"", b"ccc"]
    chosen = load(
        sh.Parquet(path, nulls="mask", fill={"n": -1, "x": math.nan, "text": "none", "list": 7, "flag": True})
    )
    assert [int(row) for row in chosen["n"]] == [1, -1, 3]
    assert np.isnan(chosen["x"][0])
    assert [row.tobytes() for row in chosen["text"]] == [b"a", b"none", b"ccc"]
    assert [row.tolist() for row in chosen["list"]] == [[1, 7], [], []]
    assert [bool(row) for row in chosen["list_valid"]] == [True, False, True]
    assert [bool(row) for row in chosen["x_valid"]] == [False, True, True]
    with pytest.raises(ValueError, match=r"fill is 0\.5, which is no int64"):
        sh.Parquet(path, fill={"n": 0.5})


def png(value: int) -> bytes:
    file = io.BytesIO()
    image.new("RGB", (8, 8), (value, value, value)).save(file, "PNG")
    return file.getvalue()


def hugging_face(features: dict[str, Any]) -> dict[bytes, bytes]:
    return {b"huggingface": json.dumps({"info": {"features": features}}).encode()}


@pytest.mark.parametrize("workers", [0, 2])
def test_images_of_hugging_face(tmp_path: Path, workers: int) -> None:
    rows = [{"bytes": png(10 * i), "path": f"{i}.png"} for i in range(20)]
    table = pa.table(
        {
            "image": pa.array(rows, pa.struct({"bytes": pa.binary(), "path": pa.string()})),
            "label": [i % 3 for i in range(20)],
        }
    )
    names = ["cat", "dog", "owl"]
    features = {"image": {"_type": "Image"}, "label": {"names": names, "_type": "ClassLabel"}}
    path = write(tmp_path / "a.parquet", table.replace_schema_metadata(hugging_face(features)), row_group_size=6)
    source = sh.Parquet(path)
    assert source.classes == names
    with sh.Loader(source, batch_size=5, transforms={"image": [sh.CenterCrop(8)]}, num_workers=workers) as loader:
        assert loader.classes == names
        batches = [(batch["image"][:, 0, 0, 0].tolist(), batch["label"].tolist()) for batch in loader]
    assert [value for values, _ in batches for value in values] == [10 * i for i in range(20)]
    assert [label for _, labels in batches for label in labels] == [i % 3 for i in range(20)]


def test_plain_binaries_are_images_by_choice(tmp_path: Path) -> None:
    path = write(tmp_path / "a.parquet", {"jpg": [png(10), png(20)], "other": [b"1", b"2"]})
    source = sh.Parquet(path, columns={"image": "jpg"}, images=["image"])
    with sh.Loader(source, batch_size=2, transforms={"image": [sh.CenterCrop(8)]}, num_workers=0) as loader:
        assert [batch["image"][:, 0, 0, 0].tolist() for batch in loader] == [[10, 20]]
    with pytest.raises(ValueError, match="images names `image`, which is no field; fields are jpg, other"):
        sh.Parquet(path, images=["image"])
    numbers = write(tmp_path / "b.parquet", {"image": [1, 2]})
    with pytest.raises(ValueError, match=r"column `image` is Int64, and images are binaries"):
        sh.Parquet(numbers, images=["image"])


def test_an_image_that_is_null_is_a_bad_sample(tmp_path: Path) -> None:
    rows = [{"bytes": png(10), "path": None}, {"bytes": None, "path": "/elsewhere.png"}, None]
    column = pa.array(rows, pa.struct({"bytes": pa.binary(), "path": pa.string()}))
    source = sh.Parquet(write(tmp_path / "a.parquet", {"image": column}), images=["image"], nulls="fill")
    chain = {"image": [sh.CenterCrop(8)]}
    with sh.Loader(source, batch_size=3, transforms=chain, num_workers=0, on_error="skip") as loader:
        assert next(iter(loader))["image"][:, 0, 0, 0].tolist() == [10, 10, 10]
        quarantine = loader.stats()["quarantine"]
    assert {failure["index"] for failure in quarantine} == {1, 2}
    assert all("column `image` is null" in failure["reason"] for failure in quarantine)


def test_folders_globs_and_partitions(tmp_path: Path) -> None:
    for year, place, values in [(2023, "a b", [1, 2]), (2024, "c", [3])]:
        write(tmp_path / f"year={year}" / f"place={place.replace(' ', '%20')}" / "x.parquet", {"v": values})
    write(tmp_path / "_tmp" / "y.parquet", {"v": [9]})
    source = sh.Parquet(tmp_path)
    assert (len(source), source.fields) == (3, ["v", "year", "place"])
    rows = load(source)
    assert [int(row) for row in rows["year"]] == [2023, 2023, 2024]
    assert [row.tobytes() for row in rows["place"]] == [b"a b", b"a b", b"c"]
    assert sh.Parquet(tmp_path, columns={"y": "year"}).fields == ["y"]
    assert len(sh.Parquet(str(tmp_path / "year=*" / "*" / "*.parquet"))) == 3
    assert len(sh.Parquet([tmp_path / "year=2024", tmp_path / "year=2023"])) == 3
    assert "3 rows of v, year, place" in repr(source)
    with pytest.raises(ValueError, match="matches no files"):
        sh.Parquet(str(tmp_path / "*.parquet"))
    with pytest.raises(FileNotFoundError, match=r"gone\.parquet"):
        sh.Parquet(tmp_path / "gone.parquet")


def test_partitions_that_are_null(tmp_path: Path) -> None:
    for value, v in (("__HIVE_DEFAULT_PARTITION__", 1), ("007", 2)):
        write(tmp_path / f"agent={value}" / "x.parquet", {"v": [v]})
    rows = load(sh.Parquet(tmp_path, fill={"agent": "?"}))
    assert sorted(row.tobytes() for row in rows["agent"]) == [b"007", b"?"]
    with (
        sh.Loader(sh.Parquet(tmp_path), batch_size=2, num_workers=0) as loader,
        pytest.raises(sh.DecodeError, match="`agent` is null"),
    ):
        next(iter(loader))


def test_files_must_agree(tmp_path: Path) -> None:
    first = write(tmp_path / "a.parquet", {"x": [1], "y": [1]})
    other = write(tmp_path / "b.parquet", {"y": [1], "x": [1.0]})
    with pytest.raises(ValueError, match=r"b\.parquet: column `x` is Float64, and Int64 in the first file"):
        sh.Parquet([first, other])
    assert [int(row) for row in load(sh.Parquet([first, other], columns=["y"]))["y"]] == [1, 1]
    with pytest.raises(ValueError, match=r"b\.parquet: column `z` is not there"):
        sh.Parquet([write(tmp_path / "c.parquet", {"z": [1]}), other], columns=["z"])
    with pytest.raises(ValueError, match="no rows"):
        sh.Parquet(write(tmp_path / "d.parquet", {"x": pa.array([], pa.int64())}))


@pytest.mark.parametrize("workers", [0, 2])
def test_longer_rows_get_more_room(tmp_path: Path, workers: int) -> None:
    texts = ["x" * (20 if i < 1500 else 5000) for i in range(1600)]
    path = write(tmp_path / "a.parquet", {"text": texts}, row_group_size=400)
    rows = load(sh.Parquet(path), workers)["text"]
    assert [row.tobytes().decode() for row in rows] == texts


def columns_of(rows: int) -> dict[str, Any]:
    rng = np.random.default_rng(3)
    return {
        "i": np.arange(rows),
        "x": rng.standard_normal(rows).astype(np.float32),
        "text": [f"row {i}" for i in range(rows)],
    }


def test_many_rows_in_many_files_are_those_that_pyarrow_reads(tmp_path: Path) -> None:
    for number in range(3):
        columns = {name: column[number * 5000 : (number + 1) * 5000] for name, column in columns_of(15_000).items()}
        write(tmp_path / f"{number}.parquet", columns, row_group_size=700, compression="ZSTD")
    files = sorted(tmp_path.glob("*.parquet"))
    theirs = pa.concat_tables([pq.ParquetFile(path).read(use_threads=False) for path in files])
    with sh.Loader(sh.Parquet(tmp_path), batch_size=512, num_workers=2) as loader:
        batches = [
            ({"i": batch["i"].copy(), "x": batch["x"].copy()}, [bytes(row) for row in batch["text"]])
            for batch in loader
        ]
    for name in ("i", "x"):
        np.testing.assert_array_equal(np.concatenate([batch[name] for batch, _ in batches]), theirs[name].to_numpy())
    assert [text.decode() for _, texts in batches for text in texts] == theirs["text"].to_pylist()


def order(source: sh.Parquet, workers: int = 0, **options: Any) -> list[int]:
    with sh.Loader(source, batch_size=10, shuffle="blocks", num_workers=workers, **options) as loader:
        return [int(i) for batch in loader for i in batch["i"]]


def small(tmp_path: Path, cache: str = "4KiB") -> sh.Parquet:
    """Returns 20 groups of 50 rows, of about 400 bytes each: a window holds 5 of them."""
    path = tmp_path / "a.parquet"
    if not path.exists():
        write(path, {"i": np.arange(1000)}, row_group_size=50, compression="NONE", use_dictionary=False)
    return sh.Parquet(path, cache=cache)


def test_blocks_are_read_in_an_order_of_their_own(tmp_path: Path) -> None:
    source = small(tmp_path)
    one = order(source)
    assert sorted(one) == list(range(1000))
    assert one == order(source, 1) == order(source, 2) == order(source, 4)
    assert one != order(source, seed=1)
    # Rows of a group lie in one window, of as many groups as fit into half of the cache.
    at: npt.NDArray[np.int64] = np.empty(1000, np.int64)
    at[one] = np.arange(1000)
    spans = np.ptp(at.reshape(20, 50), axis=1)
    assert 50 < spans.max() < 300
    # Neighbours in the file are none in the order.
    assert np.mean(np.diff(one) == 1) < 0.1


def test_ranks_share_an_order_of_blocks(tmp_path: Path) -> None:
    source = small(tmp_path)
    parts = [order(source, rank=rank, world_size=3) for rank in range(3)]
    whole = order(source)
    assert [row for rows in zip(*parts, strict=True) for row in rows][:1000] == whole


def test_batches_of_several_sizes_keep_an_order_of_blocks(tmp_path: Path) -> None:
    source = small(tmp_path)
    for workers in (0, 2):
        scales = sh.MultiScale([{}, {}], [7, 20])
        with sh.Loader(source, shuffle="blocks", cut=scales, num_workers=workers) as loader:
            batches = [batch["i"].tolist() for batch in loader]
        assert {len(batch) for batch in batches[:-1]} == {7, 20}
        assert [row for batch in batches for row in batch] == order(source)


def test_an_order_of_blocks_is_resumed_and_by_no_other(tmp_path: Path) -> None:
    source = small(tmp_path)
    whole = order(source)
    with sh.Loader(source, batch_size=10, shuffle="blocks", num_workers=2) as loader:
        batches = iter(loader)
        seen = [int(i) for _ in range(37) for i in next(batches)["i"]]
        state = json.loads(json.dumps(loader.state_dict()))
    with sh.Loader(source, batch_size=9, shuffle="blocks", num_workers=1) as loader:
        loader.load_state_dict(state)
        seen += [int(i) for batch in loader for i in batch["i"]]
    assert seen == whole
    for other in (
        sh.Loader(source, shuffle=True, num_workers=0),
        sh.Loader(source, num_workers=0),
        sh.Loader(small(tmp_path, "1KiB"), shuffle="blocks", num_workers=0),
    ):
        with other, pytest.raises(ValueError, match="another value of shuffle"):
            other.load_state_dict(state)


def test_blocks_are_for_sources_that_have_them(tmp_path: Path) -> None:
    arrays = sh.Arrays({"x": np.arange(10)})
    for workers in (0, 1):
        with pytest.raises(ValueError, match='shuffle="blocks" is for sources that are read in blocks'):
            sh.Loader(arrays, shuffle="blocks", num_workers=workers)
    with pytest.raises(ValueError, match="shuffle must be True, False or 'blocks', not 'rows'"):
        sh.Loader(small(tmp_path), shuffle="rows")  # type: ignore[arg-type]


@pytest.mark.parametrize("workers", [0, 2])
def test_a_full_shuffle_reads_every_row(tmp_path: Path, workers: int) -> None:
    source = small(tmp_path)
    with sh.Loader(source, batch_size=10, shuffle=True, num_workers=workers) as loader:
        assert sorted(int(i) for batch in loader for i in batch["i"]) == list(range(1000))


def test_groups_must_fit_the_cache(tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match=r"a\.parquet: row group 0 takes \d+ bytes once it is decoded, and cache is 100"
    ):
        small(tmp_path, "100")
    with pytest.raises(ValueError, match="cache must be bytes or text such as"):
        small(tmp_path, "many")


@pytest.mark.parametrize("codec", CODECS)
def test_what_a_group_becomes_is_told_before_it_is_decoded(tmp_path: Path, codec: str) -> None:
    path = write(tmp_path / "a.parquet", {"x": [bytes(30_000_000)]}, compression=codec, use_dictionary=False)
    assert codec == "NONE" or path.stat().st_size < 2_000_000
    with pytest.raises(ValueError, match=r"row group 0 takes 300\d{5} bytes once it is decoded, and cache is 16777216"):
        sh.Parquet(path, cache="16MiB")


@pytest.mark.parametrize("workers", [0, 1])
def test_a_file_that_is_replaced_is_told(tmp_path: Path, workers: int) -> None:
    source = small(tmp_path)
    path = tmp_path / "a.parquet"
    with sh.Loader(source, batch_size=10, num_workers=workers, prefetch=1) as loader:
        batches = iter(loader)
        next(batches)
        write(path, {"i": np.arange(2000)}, row_group_size=50)
        with pytest.raises((sh.DecodeError, OSError), match=r"row group \d+, row 0`\): the file has changed"):
            for _ in batches:
                pass
    with pytest.raises(ValueError, match=r"a\.parquet: the file has changed since the source was made"):
        sh.Loader(source, num_workers=workers)


def test_a_damaged_group_spoils_its_own_rows(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    write(
        path,
        {"i": np.arange(1000), "j": np.arange(1000)},
        row_group_size=100,
        compression="ZSTD",
        write_page_checksum=True,
    )
    chunk = pq.ParquetFile(path).metadata.row_group(3).column(1)
    data = bytearray(path.read_bytes())
    data[chunk.dictionary_page_offset + chunk.total_compressed_size - 20] ^= 0x10
    path.write_bytes(bytes(data))
    with sh.Loader(sh.Parquet(path), batch_size=100, num_workers=1) as loader:
        batches, failures = iter(loader), []
        for _ in range(10):
            try:
                next(batches)
            except (sh.DecodeError, OSError) as error:
                failures.append(str(error))
    assert len(failures) == 1
    assert f"{path} row group 3, row " in failures[0]
    assert "column `j`: " in failures[0]


def test_broken_files_are_refused_by_name(tmp_path: Path) -> None:
    whole = write(tmp_path / "a.parquet", numbers(200) | nested(200), row_group_size=50).read_bytes()
    path = tmp_path / "b.parquet"
    for end in (0, 3, 8, 100, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:end])
        with pytest.raises((ValueError, OSError), match=r"b\.parquet: "):
            sh.Parquet(path)
    path.write_bytes(b"PAR1" + b"\xff" * 100 + b"\xff\xff\xff\x7fPAR1")
    with pytest.raises(ValueError, match=r"b\.parquet: its footer cannot be read"):
        sh.Parquet(path)


@pytest.mark.parametrize("seed", range(4))
def test_flipped_bits_are_errors_or_values(tmp_path: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    whole = write(
        tmp_path / "a.parquet", numbers(60) | nested(60), row_group_size=30, compression=CODECS[seed]
    ).read_bytes()
    path = tmp_path / "b.parquet"
    for _ in range(30):
        data = bytearray(whole)
        for at in rng.integers(0, len(data), int(rng.integers(1, 8))):
            data[at] ^= 1 << int(rng.integers(0, 8))
        path.write_bytes(bytes(data))
        try:
            source = sh.Parquet(path, nulls="fill", cache="64MiB")
            with sh.Loader(source, batch_size=60, num_workers=0, on_error="skip", memory_limit="1GiB") as loader:
                for _ in loader:
                    pass
        except (ValueError, OSError, MemoryError, sh.DecodeError) as error:
            assert "b.parquet" in str(error) or "field" in str(error)  # noqa: PT017 (most of them raise nothing)


WRITE_WITH_DATASETS = """
import sys
from pathlib import Path

from datasets import ClassLabel, Dataset, Features, Image, Sequence, Value

images = [path.read_bytes() for path in sorted(Path(sys.argv[1]).glob("*.png"))]
count = len(images)
features = Features({
    "image": Image(), "label": ClassLabel(names=["cat", "dog"]), "tokens": Sequence(Value("int32")),
    "embedding": Sequence(Value("float32"), length=4), "caption": Value("string"),
})
rows = {
    "image": [{"bytes": image, "path": None} for image in images],
    "label": [i % 2 for i in range(count)],
    "tokens": [list(range(i % 7)) for i in range(count)],
    "embedding": [[float(i)] * 4 for i in range(count)],
    "caption": [f"number {i}" for i in range(count)],
}
Dataset.from_dict(rows, features=features).to_parquet(sys.argv[2], batch_size=64)
"""


@pytest.mark.parametrize("workers", [0, 2])
def test_what_workers_keep_counts_where_memory_is_looked_at(tmp_path: Path, workers: int) -> None:
    source = sh.Parquet(write(tmp_path / "a.parquet", {"x": [1, 2, 3]}), cache="1000000GiB")
    # No more than there is.
    with sh.Loader(source, num_workers=workers) as loader:
        assert len(list(loader)) == 3
    source._spec["files"][0]["groups"][0][1] = 1 << 50
    with pytest.raises(MemoryError, match=r"workers keep up to .* \(the source's cache\) beside its slots needs"):
        sh.Loader(source, num_workers=workers)


@pytest.mark.thorough
def test_files_of_hugging_face(tmp_path: Path) -> None:
    for i in range(200):
        (tmp_path / f"{i:03}.png").write_bytes(png(i))
    path = tmp_path / "a.parquet"
    # In a process of its own, since it starts threads that stay.
    subprocess.run([sys.executable, "-c", WRITE_WITH_DATASETS, tmp_path, path], check=True, timeout=PROGRAM_SECONDS)
    source = sh.Parquet(path)
    assert source.classes == ["cat", "dog"]
    assert source.fields == ["image", "label", "tokens", "embedding", "caption"]
    with sh.Loader(source, batch_size=200, transforms={"image": [sh.CenterCrop(8)]}, num_workers=1) as loader:
        assert loader.spec["embedding"].shape == (4,)
        batch = next(iter(loader))
        assert batch["image"][:, 0, 0, 0].tolist() == list(range(200))
        assert batch["label"].tolist() == [i % 2 for i in range(200)]
        assert [row.tolist() for row in batch["tokens"]] == [list(range(i % 7)) for i in range(200)]
        np.testing.assert_array_equal(batch["embedding"], np.repeat(np.arange(200), 4).reshape(-1, 4))
        assert [bytes(row).decode() for row in batch["caption"]] == [f"number {i}" for i in range(200)]


def test_sources_are_combined(tmp_path: Path) -> None:
    source = small(tmp_path)
    assert len(source) == 1000
    assert list(source.values("i")) == list(range(1000))
    chosen = source.select([7, 3, 999])
    with sh.Loader(chosen, batch_size=3, num_workers=1) as loader:
        assert next(iter(loader))["i"].tolist() == [7, 3, 999]
    with pytest.raises(ValueError, match='shuffle="blocks" is for sources that are read in blocks'):
        sh.Loader(chosen, shuffle="blocks", num_workers=0)
    twice = sh.concat([source, source]).with_columns({"n": np.arange(2000)})
    with sh.Loader(twice, batch_size=100, shuffle="blocks", num_workers=2) as loader:
        rows = [(int(i), int(n)) for batch in loader for i, n in zip(batch["i"], batch["n"], strict=True)]
    assert sorted(n for _, n in rows) == list(range(2000))
    assert all(i == n % 1000 for i, n in rows)


def test_an_epoch_of_blocks_goes_on_where_files_were_added(tmp_path: Path) -> None:
    for part in range(3):
        write(tmp_path / f"{part}.parquet", {"x": np.arange(part * 20, part * 20 + 20)}, row_group_size=6)

    def loader(parts: int) -> sh.Loader:
        source = sh.Parquet([tmp_path / f"{part}.parquet" for part in range(parts)], cache="1MiB")
        return sh.Loader(source, batch_size=4, shuffle="blocks", seed=5, num_workers=0)

    def rows(batches: Any) -> list[int]:
        return [int(row) for batch in batches for row in batch["x"]]

    expected = rows(loader(2))
    first = loader(2)
    seen = rows([next(iter(first))])
    second = loader(3)
    second.load_state_dict(first.state_dict(), grown=True)
    assert seen + rows(second) == expected
    assert sorted(rows(second)) == list(range(60))
