"""Tar files of samples: what tar tools and the webdataset package write, and what nobody should have written."""

from __future__ import annotations

import io
import json
import os
import random
import shutil
import subprocess
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import webdataset
from PIL import Image

import stokehold as sh

Files = Sequence[tuple[str, bytes]]


TAR = shutil.which("tar") or ""


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "stokehold"


def write(path: Path, files: Files, form: int = tarfile.PAX_FORMAT) -> Path:
    with tarfile.open(path, "w", format=form) as tar:
        for name, content in files:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


def jpeg(number: int, size: tuple[int, int] = (24, 16)) -> bytes:
    pixels = np.random.default_rng(number).integers(0, 256, (4, 6, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).resize(size).save(file, "JPEG", quality=95)
    return file.getvalue()


def samples(source: sh.WebDataset, workers: int = 0, **options: Any) -> Iterator[dict[str, Any]]:
    with sh.Loader(source, num_workers=workers, batch_size=4, memory_limit="64MiB", **options) as loader:
        for batch in loader:
            for row in range(len(batch.indices)):
                yield {
                    name: batch.text(name)[row] if name in {"txt", "text"} else np.array(batch[name][row])
                    for name in batch
                }


# The reference leaves its files to the collector.
@pytest.mark.filterwarnings("ignore:unclosed file", "ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("workers", [0, 2])
def test_shards_of_the_reference_writer_are_read_as_by_its_reader(workers: int, tmp_path: Path) -> None:
    with webdataset.ShardWriter(str(tmp_path / "train-%03d.tar"), maxcount=4_000, verbose=0) as writer:
        for number in range(10_500):
            written = {"__key__": f"a/{number:06d}.v1", "cls": number % 7, "txt": f"caption {number} é"}
            writer.write(written | {"npy": np.arange(3, dtype=np.float32) + number, "json": {"n": {"x": [number, -1]}}})
    pattern = str(tmp_path / "train-{000..002}.tar")
    members: dict[str, str | sh.Member] = {
        "label": "cls",
        "text": "TXT",
        "array": "npy",
        "number": sh.Member("json", value="n/x/0", dtype="int32"),
        "numbers": sh.Member("json", value="n/x", dtype="float64", shape=(None,)),
    }
    # That key has a dot, so that its suffixes are `v1.cls` and so on, there as here.
    source = sh.WebDataset(pattern, {name: _behind("v1", each) for name, each in members.items()})
    assert len(source) == 10_500
    expected = iter(webdataset.WebDataset(pattern, shardshuffle=False))
    for number, sample in enumerate(samples(source, workers)):
        reference: dict[str, bytes] = next(expected)
        assert sample["label"] == int(reference["v1.cls"]) == number % 7
        assert sample["text"] == reference["v1.txt"].decode()
        assert sample["array"].tolist() == np.load(io.BytesIO(reference["v1.npy"])).tolist()
        assert (sample["number"], sample["numbers"].tolist()) == (number, json.loads(reference["v1.json"])["n"]["x"])
    assert number == 10_499
    assert next(expected, None) is None


def _behind(part: str, member: str | sh.Member) -> str | sh.Member:
    if isinstance(member, str):
        return f"{part}.{member}"
    member.suffixes = [f"{part}.{suffix}" for suffix in member.suffixes]
    return member


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_names_of_every_format_and_length_are_read(form: int, tmp_path: Path) -> None:
    folder = "d" * 60 + "/" + "e" * 60 + "/"
    names = [folder + "b", "a"] if form == tarfile.USTAR_FORMAT else ["a", folder + "b", "f" * 300, "naïve/ü"]
    path = write(
        tmp_path / "x.tar",
        [(f"{name}.{suffix}", b"%d" % at) for at, name in enumerate(names) for suffix in ("cls", "bin")],
        form,
    )
    with tarfile.open(path, "a", format=form) as tar:
        for name, kind in (
            ("folder.cls", tarfile.DIRTYPE),
            ("pipe.cls", tarfile.FIFOTYPE),
            ("soft.cls", tarfile.SYMTYPE),
        ):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "a.cls"
            tar.addfile(info)
        for suffix in ("cls", "bin"):
            info = tarfile.TarInfo(f"hard.{suffix}")
            info.type, info.linkname = tarfile.LNKTYPE, f"{names[-1]}.{suffix}"
            tar.addfile(info)
    source = sh.WebDataset(path)
    found = list(samples(source))
    assert [int(sample["cls"]) for sample in found] == [*range(len(names)), len(names) - 1]
    assert [bytes(sample["bin"]) for sample in found] == [b"%d" % at for at in [*range(len(names)), len(names) - 1]]
    assert source.fields == ["bin", "cls"]


def test_members_that_belong_to_no_sample_are_passed_over(tmp_path: Path) -> None:
    files = [
        ("._000.cls", b"9"),
        ("000.cls", b"1"),
        ("README", b"x"),
        ("__meta__/x.cls", b"9"),
        (".hidden", b"9"),
        ("001.cls", b"2"),
    ]
    assert [int(sample["cls"]) for sample in samples(sh.WebDataset(write(tmp_path / "x.tar", files)))] == [1, 2]


@pytest.mark.parametrize("workers", [0, 2])
def test_images_and_masks_come_as_from_files(workers: int, tmp_path: Path) -> None:
    files: list[tuple[str, bytes]] = []
    for number in range(6):
        mask = io.BytesIO()
        Image.fromarray(np.full((16, 24), number, np.uint8)).save(mask, "PNG")
        files += [
            (f"{number}.JPG", jpeg(number)),
            (f"{number}.seg.png", mask.getvalue()),
            (f"{number}.raw", bytes([number] * 8)),
        ]
    for name, content in files:
        (tmp_path / name).write_bytes(content)
    source = sh.WebDataset(
        write(tmp_path / "x.tar", files),
        {
            "image": "png;jpg",
            "mask": sh.Member("seg.png", "mask"),
            "pair": sh.Member("raw", "raw", dtype="uint16", shape=(2, 2)),
        },
    )
    table = sh.Table(
        {
            "image": sh.Images([tmp_path / f"{number}.JPG" for number in range(6)]),
            "mask": sh.Masks([tmp_path / f"{number}.seg.png" for number in range(6)]),
            "pair": np.repeat(np.arange(6, dtype=np.uint8), 8).reshape(6, 8).view(np.uint16).reshape(6, 2, 2),
        }
    )
    steps: dict[str, Any] = {"transforms": {"image": [sh.RandomResizedCrop(12)]}, "shuffle": True, "seed": 5}
    for ours, theirs in zip(samples(source, workers, **steps), samples(table, 0, **steps), strict=True):  # type: ignore[arg-type]
        for name in ("image", "mask", "pair"):
            np.testing.assert_array_equal(ours[name], theirs[name])


def test_a_bad_sample_is_named_by_shard_member_and_place(tmp_path: Path) -> None:
    files = [("a/0.jpg", jpeg(0)), ("a/1.jpg", jpeg(1)[:50]), ("a/2.jpg", jpeg(2))]
    path = write(tmp_path / "x.tar", files)
    source = sh.WebDataset(path)
    with sh.Loader(source, num_workers=1, transforms={"jpg": [sh.CenterCrop(8)]}) as loader:
        epoch = iter(loader)
        next(epoch)
        with pytest.raises(sh.DecodeError, match=r"cannot decode sample 1 \(`.*x\.tar: a/1`\)"):
            next(epoch)
        next(epoch)
    before = path.stat()
    write(path, files[:2])
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns + 1))
    with (
        sh.Loader(source, num_workers=1, transforms={"jpg": [sh.CenterCrop(8)]}) as loader,
        pytest.raises(OSError, match="changed after its index"),
    ):
        next(iter(loader))


REFUSED: list[tuple[Files, dict[str, Any], str]] = [
    ([("0.jpg", b"x"), ("0.JPG", b"y")], {}, r"member `0\.JPG` comes twice"),
    ([("0.cls", b"1"), ("1.txt", b"x")], {}, r"sample `1` has no \.cls for field `cls`"),
    ([("0.cls", b"one")], {}, r"member `0\.cls` at byte 512 is to be a number in digits, not \"one\""),
    ([("0.cls", b"1" * 40)], {}, "has 40 bytes, and is to be a number"),
    ([("0.pkl", b"x")], {}, "is a pickle"),
    ([("0.npy", b"x")], {}, "is no array in NumPy's format"),
    ([("0.json", b"{")], {"fields": {"x": sh.Member("json", value="a")}}, "is no JSON"),
    ([("0.json", b"{}")], {"fields": {"x": sh.Member("json", value="a")}}, "has no value at `/a`"),
    (
        [("0.json", b'{"a": 300}')],
        {"fields": {"x": sh.Member("json", value="a", dtype="uint8")}},
        "UInt8 does not hold",
    ),
    (
        [("0.json", b'{"a": 0.5}')],
        {"fields": {"x": sh.Member("json", value="a", dtype="int64")}},
        "Int64 does not hold",
    ),
    ([("0.raw", b"123")], {"fields": {"x": sh.Member("raw", "raw", dtype="int16", shape=(None,))}}, "no multiple of 2"),
    ([("0.jpg", b"")], {}, r"is empty \(0 bytes\)"),
    ([], {}, "there is no sample in 1 shards"),
    ([("0.cls", b"1")], {"fields": {"x": "txt"}, "missing": "skip"}, "there is no sample that has all fields"),
]


@pytest.mark.parametrize(("files", "options", "message"), REFUSED)
def test_what_makes_no_samples_is_refused_by_name(
    files: Files, options: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=message):
        sh.WebDataset(write(tmp_path / "x.tar", files), **options)


def test_arrays_of_other_shapes_are_refused_or_vary(tmp_path: Path) -> None:
    files = []
    for number in range(3):
        file = io.BytesIO()
        np.save(file, np.full((number, 2), number, np.int16))
        files.append((f"{number}.npy", file.getvalue()))
    path = write(tmp_path / "x.tar", files)
    with pytest.raises(ValueError, match=r"`1\.npy` at byte .* and that of the first sample is"):
        sh.WebDataset(path)
    source = sh.WebDataset(path, {"x": sh.Member("npy", shape=(None, 2))})
    assert [sample["x"].tolist() for sample in samples(source)] == [[], [[1, 1]], [[2, 2], [2, 2]]]


def test_samples_that_lack_a_member_are_left_out_and_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = write(
        tmp_path / "x.tar", [("0.cls", b"0"), ("0.txt", b"a"), ("1.cls", b"1"), ("2.txt", b"c"), ("2.cls", b"2")]
    )
    for _ in range(2):  # Found, and from the cache.
        source = sh.WebDataset(path, missing="skip")
        assert [sample["txt"] for sample in samples(source)] == ["a", "c"]
        assert source.counters == {"incomplete_samples": 1}
    assert "1 samples lack a member of cls, txt" in caplog.text


def test_arguments_are_checked(tmp_path: Path) -> None:
    path = write(tmp_path / "x.tar", [("0.cls", b"1")])
    for shards, error, message in [
        (tmp_path / "none.tar", FileNotFoundError, "none.tar"),
        (str(tmp_path / "*.zip"), FileNotFoundError, "no file matches"),
        ([], ValueError, "no shards"),
        ("pipe:cat x.tar", ValueError, "is no file"),
        ("https://x/y.tar", ValueError, "is no file"),
        ("x-{5..1}.tar", ValueError, "is no range"),
        ("x.tar.gz", ValueError, r"is compressed.*gunzip"),
        (tmp_path, ValueError, "no tar file"),
    ]:
        with pytest.raises(
            (error, OSError) if shards is tmp_path else error, match=message if shards is not tmp_path else None
        ):
            sh.WebDataset(shards)  # type: ignore[arg-type]
    for arguments, message in [
        ({"suffixes": ""}, "must be some"),
        ({"suffixes": "jpg;cls"}, "of several kinds, image, label"),
        ({"suffixes": "pkl"}, "is a pickle"),
        ({"suffixes": "x", "take": "video"}, "take must be one of"),
        ({"suffixes": "x", "take": "raw"}, "need their dtype"),
        ({"suffixes": "x", "take": "json"}, "value goes with"),
        ({"suffixes": "jpg", "dtype": "uint8"}, "dtype goes with"),
        ({"suffixes": "jpg", "shape": (1,)}, "shape goes with"),
    ]:
        with pytest.raises(ValueError, match=message):
            sh.Member(**arguments)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="missing must be"):
        sh.WebDataset(path, missing="drop")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="at least one"):
        sh.WebDataset(path, {})
    assert repr(sh.WebDataset(path)) == "WebDataset(1 samples of cls in 1 shards)"


def test_an_index_is_kept_and_never_trusted(tmp_path: Path, cache: Path) -> None:
    path = write(tmp_path / "x.tar", [("0.cls", b"1"), ("0.txt", b"one")])

    def texts() -> list[str]:
        return [sample["txt"] for sample in samples(sh.WebDataset(path))]

    assert texts() == ["one"]
    (kept,) = cache.iterdir()
    assert kept.stat().st_mode & 0o777 == 0o600
    whole = kept.read_bytes()
    chance = random.Random(0)
    for at in [*range(64), *(chance.randrange(len(whole)) for _ in range(40))]:
        damaged = bytearray(whole)
        damaged[at] ^= 1 << chance.randrange(8)
        kept.write_bytes(damaged)
        assert texts() == ["one"]
        assert kept.read_bytes() == whole
    kept.write_bytes(whole[: len(whole) // 2])
    assert texts() == ["one"]
    # One of a file that is another now.
    write(path, [("0.cls", b"1"), ("0.txt", b"two")])
    assert texts() == ["two"]
    assert len(list(cache.iterdir())) == 1
    cache.joinpath(kept.name).unlink()
    cache.chmod(0o500)
    assert texts() == ["two"]
    cache.chmod(0o700)
    sh.WebDataset(path, cache=False)
    sh.WebDataset(path, cache=tmp_path / "other")
    assert len(list((tmp_path / "other").iterdir())) == 1


def test_damaged_files_are_refused_or_read(tmp_path: Path) -> None:
    """Whatever a byte becomes, and wherever the file ends: no exception but ours, and no read beyond the file."""
    path = tmp_path / "x.tar"
    content = write(
        path, [("0.cls", b"1"), ("0.txt", b"one"), ("d" * 200 + ".cls", b"2"), ("d" * 200 + ".txt", b"2")]
    ).read_bytes()
    chance = random.Random(0)
    for _ in range(300):
        damaged = bytearray(content)
        for _ in range(chance.randint(1, 3)):
            damaged[chance.randrange(len(damaged))] = chance.randrange(256)
        path.write_bytes(damaged[: chance.choice([len(damaged), chance.randrange(len(damaged))])])
        try:
            source = sh.WebDataset(path, {"cls": "cls", "txt": "txt"}, cache=False, missing="skip")
        except ValueError:
            continue
        list(samples(source))


def test_a_truncated_file_names_the_member(tmp_path: Path) -> None:
    path = write(tmp_path / "x.tar", [("0.txt", b"x" * 5000)])
    os.truncate(path, 2000)
    with pytest.raises(
        ValueError, match=r"x\.tar`: member `0\.txt` at byte 512 has 5000 bytes, and the file ends after 1488"
    ):
        sh.WebDataset(path)


@pytest.mark.skipif(not TAR, reason="there is no tar")
def test_what_gnu_tar_writes_is_read(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for number in range(3):
        (folder / f"{number}.cls").write_bytes(b"%d\n" % number)
    with (folder / "3.cls").open("wb") as file:
        file.write(b"3\n")
    subprocess.run([TAR, "-cf", tmp_path / "x.tar", "--sort=name", "-C", folder, "."], check=True)
    assert [int(sample["cls"]) for sample in samples(sh.WebDataset(tmp_path / "x.tar"))] == [0, 1, 2, 3]
    with (folder / "4.cls").open("wb") as file:
        file.truncate(1 << 20)
    subprocess.run([TAR, "-cSf", tmp_path / "y.tar", "--sort=name", "-C", folder, "."], check=True)
    with pytest.raises(ValueError, match=r"4\.cls` at byte \d+ is sparse.*without --sparse"):
        sh.WebDataset(tmp_path / "y.tar")


def test_an_index_takes_little_memory_for_a_sample(tmp_path: Path) -> None:
    files = [(f"{number:08d}.{suffix}", b"1") for number in range(5000) for suffix in ("cls", "jpg")]
    source = sh.WebDataset(write(tmp_path / "x.tar", files))
    _, memory = source.data()
    assert sum(len(piece) for piece in memory) / len(source) < 100
