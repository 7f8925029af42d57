"""TFRecord files: what a small writer of our own and the tfrecord package write, and damaged ones."""

from __future__ import annotations

import gzip
import io
import os
import random
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import stokehold as sh
import tf_records
from support import values
from tf_records import Values, example, feature, file_of, framed, masked_crc


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "stokehold"


def png(number: int) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.full((8, 8, 3), number, np.uint8)).save(file, "PNG")
    return file.getvalue()


def features(number: int) -> dict[str, Values]:
    return {
        "image/encoded": [png(number % 200)],
        "label": [number % 7],
        "weight": [number / 4],
        "tokens": [number, -1, 1 << 40],
        "boxes": [float(n) for n in range(4 * (number % 3))],
        "caption": [f"é{number}".encode()],
        "raw": [struct.pack("<2h", number, -number)],
    }


FIELDS: dict[str, str | sh.Feature] = {
    "image": "image/encoded",
    "label": sh.Feature("label", "label"),
    "weight": "weight",
    "tokens": "tokens",
    "boxes": sh.Feature("boxes", dtype="float32", shape=(None, 4)),
    "caption": sh.Feature("caption", "text"),
    "raw": sh.Feature("raw", "raw", dtype="int16", shape=(2,)),
    "small": sh.Feature("label", dtype="uint8"),
}


def write(path: Path, numbers: range) -> Path:
    path.write_bytes(file_of(features(number) for number in numbers))
    return path


def loaded(source: sh.Source, workers: int = 0, **options: Any) -> Iterator[tuple[int, dict[str, Any]]]:
    with sh.Loader(source, num_workers=workers, batch_size=4, memory_limit="64MiB", **options) as loader:
        for batch in loader:
            for row, index in enumerate(map(int, batch.indices)):
                yield index, {name: np.array(batch[name][row]) for name in batch}


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("check_crc", [True, False])
def test_examples_are_what_was_written(workers: int, check_crc: bool, tmp_path: Path) -> None:
    for shard in range(3):
        write(tmp_path / f"train-{shard:05d}-of-00003", range(shard * 10, shard * 10 + 10))
    for _ in range(2):  # Found, and from the cache.
        source = sh.TFRecord(str(tmp_path / "train-{00000..00002}-of-00003"), FIELDS, check_crc=check_crc)
        assert len(source) == 30
        chain: dict[str, Any] = {"image": [sh.CenterCrop(4)]}
        seen = set()
        for index, sample in loaded(source, workers, shuffle=True, transforms=chain):
            assert (sample["image"] == index % 200).all()
            assert (sample["label"], sample["weight"], sample["small"]) == (index % 7, index / 4, index % 7)
            assert sample["tokens"].tolist() == [index, -1, 1 << 40]
            assert sample["boxes"].tolist() == np.arange(4.0 * (index % 3)).reshape(-1, 4).tolist()
            assert bytes(sample["caption"]).decode() == f"é{index}"
            assert sample["raw"].tolist() == [index, -index]
            seen.add(index)
        assert seen == set(range(30))
    dtypes = {name: spec.dtype for name, spec in sh.Loader(source, transforms=chain).spec.items()}
    assert (dtypes["label"], dtypes["weight"], dtypes["small"], dtypes["boxes"]) == (
        "int64",
        "float32",
        "uint8",
        "float32",
    )


def test_the_first_record_says_what_fields_are(tmp_path: Path) -> None:
    source = sh.TFRecord(write(tmp_path / "x", range(5)))
    assert source.fields == ["boxes", "caption", "image/encoded", "label", "raw", "tokens", "weight"]
    assert repr(source).startswith("TFRecord(5 samples of boxes, caption, ")
    chain: dict[str, Any] = {"image/encoded": [sh.CenterCrop(4)]}
    shapes = {name: spec.shape for name, spec in sh.Loader(source, transforms=chain).spec.items()}
    assert (shapes["label"], shapes["tokens"], shapes["boxes"], shapes["caption"]) == ((), (3,), (None,), (None,))
    assert shapes["image/encoded"] == (4, 4, 3)


def test_numbers_that_are_not_packed_are_read(tmp_path: Path) -> None:
    records = [{"n": feature([n, -n, 300], packed=False), "f": feature([n / 2, 1.0], packed=False)} for n in range(3)]
    source = sh.TFRecord([(tmp_path / "x")] if (tmp_path / "x").write_bytes(file_of(records)) else [])
    for index, sample in loaded(source):
        assert sample["n"].tolist() == [index, -index, 300]
        assert sample["f"].tolist() == [index / 2, 1.0]


def test_lists_of_nothing_are_of_any_type(tmp_path: Path) -> None:
    """Some writers choose the type of a list by its first value, or leave one that has none out."""
    empty = [b"", tf_records.message(3, b""), tf_records.message(2, b""), tf_records.message(1, b"")]
    (tmp_path / "x").write_bytes(file_of([{"x": each} for each in [*empty, feature([1.5, 2.5])]]))
    source = sh.TFRecord(tmp_path / "x", {"x": sh.Feature("x", dtype="float32", shape=(None,))})
    assert [sample["x"].tolist() for _, sample in loaded(source)] == [[], [], [], [], [1.5, 2.5]]


def test_room_grows_with_a_longer_record(tmp_path: Path) -> None:
    records = [{"x": [7] * (1 if number < 2000 else 500)} for number in range(2004)]
    (tmp_path / "x").write_bytes(file_of(records))
    source = sh.TFRecord(tmp_path / "x", {"x": sh.Feature("x", shape=(None,))})
    lengths = [len(sample["x"]) for _, sample in loaded(source, 1)]
    assert lengths == [1] * 2000 + [500] * 4


def one(tmp_path: Path, content: bytes) -> sh.TFRecord:
    (tmp_path / "x").write_bytes(content)
    return sh.TFRecord(tmp_path / "x", cache=False)


def called(value: object) -> str | None:
    """What a parameter is called: bytes make no name that anybody could type."""
    return "file" if isinstance(value, bytes) else None


GOOD = {"x": [1]}
NO_EXAMPLE = framed(b"\x0a\x7fabc")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "there is no record in 1 shards"),
        (file_of([GOOD])[:-1], r"x`: record 0 at byte 0 has 14 bytes and a checksum, and the file ends after 17"),
        (file_of([GOOD, GOOD])[:35], r"record 1 at byte 30 is cut short: its length takes 12 bytes"),
        (b"abc" * 10, "record 0 at byte 0 has a length whose checksum is wrong"),
        (struct.pack("<Q", 2**64 - 1) + masked_crc(b"\xff" * 8) + b"abc", "has 18446744073709551615 bytes"),
        (gzip.compress(file_of([GOOD]), mtime=0), "is compressed.*gunzip"),
        (zlib.compress(file_of([GOOD])), "is compressed"),
        (NO_EXAMPLE, r"x`: the first record, at byte 0: is no tf\.train\.Example"),
        (framed(example(GOOD) + tf_records.message(2, b"")), "SequenceExample"),
        (framed(b""), "has no features"),
        (file_of([GOOD])[:-1] + b"\0", "do not have the checksum that stands behind them"),
        (file_of([{"x": b""}]), "feature `x` has no values, so that nothing tells their type; say it by `dtype`"),
        (file_of([{"x": [b"a", b"b"]}]), "feature `x` has 2 byte strings"),
        (file_of([{"x": feature([1]) + feature([1.0])}]), "lists of two types"),
    ],
    ids=called,
)
def test_what_makes_no_samples_is_refused_by_name(content: bytes, message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        one(tmp_path, content)


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ("y", "there is no feature `y` for field `f`; there are b, i, x"),
        (sh.Feature("i", "image"), "has a int64_list, and is to be bytes"),
        (sh.Feature("b", dtype="int64"), 'is to be numbers; "raw" are'),
        (sh.Feature("x", "label"), "has a float_list, and is to be a class's number"),
        (sh.Feature("x", dtype="float64"), "is to be float64.*which can be float32"),
        (sh.Feature("i", dtype="float32"), "which can be an integer type or bool"),
        (sh.Feature("i", shape=(3,)), r"feature `i` has 2 values, and a row has 3"),
        (sh.Feature("i", shape=(None, 3)), "has 2 values, which is no multiple of 3"),
        (sh.Feature("i", dtype="int8"), "300 is no int8"),
        (sh.Feature("b", "raw", dtype="int16", shape=(2,)), "has 3 bytes, and a row has 4"),
        (sh.Feature("i", "label"), "has 2 values, and a row has 1"),
    ],
)
def test_fields_that_the_first_record_does_not_have_are_refused(
    wanted: str | sh.Feature, message: str, tmp_path: Path
) -> None:
    (tmp_path / "x").write_bytes(file_of([{"x": [0.5], "i": [1, 300], "b": [b"abc"]}]))
    with pytest.raises(ValueError, match=message):
        sh.TFRecord(tmp_path / "x", {"f": wanted}, cache=False)


@pytest.mark.parametrize(
    ("record", "message"),
    [
        (framed(example({})), r"record at byte 30`\): feature `x` is not there \(field `x`\)"),
        (framed(example({"x": [1.0]})), "has a float_list, and the field is made of a int64_list"),
        (framed(example({"x": [1, 2]})), r"has 2 values, and a row has 1; shape=\(None, \.\.\.\)"),
        (framed(example({"x": tf_records.message(3, tf_records.message(1, b"\x80"))})), "has 0 values|cut short"),
        (NO_EXAMPLE, r"is no tf\.train\.Example"),
        (framed(example(GOOD))[:-4] + b"abcd", "do not have the checksum"),
    ],
    ids=called,
)
@pytest.mark.parametrize("workers", [0, 1])
def test_a_bad_record_is_named_by_shard_and_byte(workers: int, record: bytes, message: str, tmp_path: Path) -> None:
    good = file_of([GOOD])
    source = one(tmp_path, good + record + good)
    with sh.Loader(source, num_workers=workers) as loader:
        epoch = iter(loader)
        assert next(epoch)["x"].tolist() == [1]
        with pytest.raises((sh.DecodeError, OSError), match=message):
            next(epoch)
        assert next(epoch)["x"].tolist() == [1]
    with sh.Loader(source, num_workers=workers, on_error="skip") as loader:
        assert [index for batch in loader for index in batch.indices.tolist()] == [0, 2, 2]


def test_checksums_are_compared_by_choice(tmp_path: Path) -> None:
    content = bytearray(file_of([{"x": [1, 2]}, {"x": [1, 2]}]))
    content[-5] = 9
    (tmp_path / "x").write_bytes(content)
    source = sh.TFRecord(tmp_path / "x", check_crc=False)
    assert [sample["x"].tolist() for _, sample in loaded(source)] == [[1, 2], [1, 9]]
    source = sh.TFRecord(tmp_path / "x")
    with sh.Loader(source, num_workers=0) as loader, pytest.raises(OSError, match="checksum"):
        list(loader)


def test_many_numbers_in_few_bytes_stay_in_a_samples_budget(tmp_path: Path) -> None:
    content = file_of([{"x": [1]}, {"x": [0] * 300_000}])
    (tmp_path / "x").write_bytes(content)
    source = sh.TFRecord(tmp_path / "x", {"x": sh.Feature("x", shape=(None,))}, cache=False)
    with sh.Loader(source, num_workers=0, max_sample_bytes="1MiB") as loader:
        epoch = iter(loader)
        next(epoch)
        with pytest.raises((OSError, sh.DecodeError), match="300000 numbers, which do not fit max_sample_bytes"):
            next(epoch)


def test_a_shard_that_changes_is_an_error(tmp_path: Path) -> None:
    path = write(tmp_path / "x", range(4))
    source = sh.TFRecord(path, {"label": "label"})
    before = path.stat()
    write(path, range(1, 5))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns + 1))
    with sh.Loader(source, num_workers=1) as loader, pytest.raises(OSError, match="changed after its index"):
        next(iter(loader))
    assert [int(sample["label"]) for _, sample in loaded(sh.TFRecord(path, {"label": "label"}))] == [1, 2, 3, 4]


def test_an_index_is_kept_and_never_trusted(tmp_path: Path, cache: Path) -> None:
    path = write(tmp_path / "x", range(3))
    expected = values(sh.Loader(sh.TFRecord(path, {"tokens": "tokens"}), num_workers=0))
    (kept,) = cache.iterdir()
    whole = kept.read_bytes()
    chance = random.Random(0)
    for at in [*range(64), *(chance.randrange(len(whole)) for _ in range(40))]:
        damaged = bytearray(whole)
        damaged[at] ^= 1 << chance.randrange(8)
        kept.write_bytes(damaged)
        assert values(sh.Loader(sh.TFRecord(path, {"tokens": "tokens"}), num_workers=0)) == expected
        assert kept.read_bytes() == whole


def test_damaged_files_are_refused_or_read(tmp_path: Path) -> None:
    """Whatever a byte becomes: no exception but ours. Half of the files have right checksums all the same."""
    chance = random.Random(0)
    path = tmp_path / "x"
    records = [example(features(number)) for number in range(3)]
    fields = FIELDS | {"image": sh.Feature("image/encoded", "image")}
    outcomes = set()
    for number in range(600):
        damaged = [bytearray(record) for record in records]
        victim = chance.choice(damaged)
        for _ in range(chance.randint(1, 3)):
            victim[chance.randrange(len(victim))] = chance.choice([0, 0x7F, 0x80, 0xFF, chance.randrange(256)])
        content = bytearray(b"".join(framed(bytes(record)) for record in damaged))
        if number % 2:
            content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
        path.write_bytes(content[: chance.choice([len(content), len(content), chance.randrange(len(content))])])
        try:
            source = sh.TFRecord(path, fields, cache=False, check_crc=chance.random() < 0.5)
        except ValueError:
            outcomes.add("refused")
            continue
        chain: dict[str, Any] = {"image": [sh.CenterCrop(4)]}
        with sh.Loader(source, num_workers=0, memory_limit="64MiB", transforms=chain) as loader:
            epoch = iter(loader)
            for _ in range(len(source)):
                try:
                    next(epoch)
                    outcomes.add("read")
                except (OSError, sh.DecodeError):
                    outcomes.add("bad")
    assert outcomes == {"refused", "bad", "read"}


def test_arguments_are_checked(tmp_path: Path) -> None:
    path = write(tmp_path / "x", range(1))
    for shards, error, message in [
        (tmp_path / "none", FileNotFoundError, "none"),
        (str(tmp_path / "*.tfrecord"), FileNotFoundError, "TFRecord: no file matches"),
        ([], ValueError, "TFRecord: shards: there are no shards"),
        ("https://x/y", ValueError, "is no file"),
        ("x.tfrecord.gz", ValueError, r"is compressed.*gunzip"),
        (tmp_path, ValueError, "is a directory"),
    ]:
        with pytest.raises(error, match=message):
            sh.TFRecord(shards)  # type: ignore[arg-type]
    for arguments, message in [
        ({"take": "video"}, "take must be one of"),
        ({"take": "raw"}, "need their dtype"),
        ({"take": "image", "dtype": "uint8"}, "dtype goes with"),
        ({"take": "label", "shape": (1,)}, "shape goes with"),
        ({"shape": (2, None)}, "None first"),
        ({"shape": (0,)}, r"shape\[0\] must be 1 or more, or None, not 0"),
    ]:
        with pytest.raises(ValueError, match=message):
            sh.Feature("x", **arguments)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="name must be a str"):
        sh.Feature(3)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="check_crc must be True or False"):
        sh.TFRecord(path, check_crc="yes")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="at least one"):
        sh.TFRecord(path, {})


def test_an_index_takes_little_memory_for_a_record(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(file_of([GOOD]) * 5000)
    _, memory = sh.TFRecord(tmp_path / "x").data()
    assert sum(len(piece) for piece in memory) / 5000 < 25


def test_files_of_the_tfrecord_package_are_read_as_by_its_reader(tmp_path: Path) -> None:
    tfrecord = pytest.importorskip("tfrecord")
    path = tmp_path / "x.tfrecord"
    writer = tfrecord.TFRecordWriter(str(path))
    for number in range(10_500):
        writer.write(
            {
                "id": (number - 5, "int"),
                "floats": ([number / 8, -1.0], "float"),
                "text": (f"é{number}".encode(), "byte"),
                "varying": ([*range(number % 5), -number], "int"),
            }
        )
    writer.close()
    source = sh.TFRecord(
        path, {"id": "id", "floats": "floats", "text": "text", "v": sh.Feature("varying", shape=(None,))}
    )
    assert len(source) == 10_500
    reference = tfrecord.tfrecord_loader(str(path), None)
    for (index, sample), theirs in zip(loaded(source, 2), reference, strict=True):
        assert sample["id"] == theirs["id"][0] == index - 5
        assert sample["floats"].tolist() == theirs["floats"].tolist()
        assert bytes(sample["text"]) == bytes(theirs["text"])
        assert sample["v"].tolist() == theirs["varying"].tolist()
