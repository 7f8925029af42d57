"""Shards that MosaicML Streaming 0.13 wrote (tests/data/mds; mds_zstd by `compression="zstd:7"`), and damaged ones."""

from __future__ import annotations

import json
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import stokehold as sh

WRITTEN = Path(__file__).parents[1] / "data" / "mds"
PACKED = WRITTEN.with_name("mds_zstd")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    shutil.copytree(WRITTEN, tmp_path / "mds")
    return tmp_path / "mds"


@pytest.mark.parametrize("workers", [0, 2])
def test_samples_are_what_was_written(workers: int) -> None:
    source = sh.Mds(WRITTEN)
    assert len(source) == 12
    chain: dict[str, Any] = {"image": [sh.CenterCrop(8)]}
    with sh.Loader(source, batch_size=5, shuffle=True, num_workers=workers, transforms=chain) as loader:
        seen = 0
        for batch in loader:
            for row, index in enumerate(map(int, batch.indices)):
                assert (batch["n"][row], batch["u"][row]) == (index - 5, index % 9)
                assert (batch["x"][row] == index).all()
                assert batch["x"].shape[1:] == (2, 3)
                assert batch.text("s")[row] == f"é{index}" * (index % 4)
                assert bytes(batch["b"][row]) == bytes(index % 7)
                assert json.loads(batch.text("j")[row]) == {"a": index}
                pixels = np.random.default_rng(index).integers(0, 255, (8, 8, 3), dtype=np.uint8)
                # A JPEG file of noise is near to it.
                assert np.abs(batch["image"][row].astype(int) - np.asarray(Image.fromarray(pixels))).mean() < 60
                seen += 1
    assert seen == 12


def test_columns_are_chosen_and_renamed() -> None:
    source = sh.Mds(WRITTEN, {"label": "u"})
    with sh.Loader(source, batch_size=12, num_workers=0) as loader:
        assert next(iter(loader))["label"].tolist() == [index % 9 for index in range(12)]
    with pytest.raises(ValueError, match="no column `y`; there are b, image, j, n, s, u, x"):
        sh.Mds(WRITTEN, {"label": "y"})


def _edit(folder: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    index = json.loads((folder / "index.json").read_text())
    for shard in index["shards"]:
        change(shard)
    (folder / "index.json").write_text(json.dumps(index))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda shard: shard.update(format="json"), "not mds"),
        (lambda shard: shard.update(samples=1 << 40), "the index says"),
        (lambda shard: shard.update(samples=-1), "the index says"),
        (lambda shard: shard.update(samples="3"), "is no index"),
        (lambda shard: shard["raw_data"].update(basename="../x.mds"), "outside of the folder"),
        (lambda shard: shard["raw_data"].update(bytes=7), "the index says 7"),
        (lambda shard: shard.update(column_encodings=["pkl"] * 7), "could run any code"),
        (lambda shard: shard.update(column_encodings=["ndarray"] * 7), "write ndarray:dtype:shape"),
        (lambda shard: shard.update(column_encodings=["list[jpeg]"] * 7), "is not read"),
        (lambda shard: shard.pop("column_names"), "is no index"),
        (lambda shard: shard.update(column_sizes=[1]), "is no index"),
        (lambda shard: shard.update(column_sizes=[4] * 7), "do not fill it|too short"),
        (lambda shard: shard.update(column_sizes=[-4] * 7), "column `b` has the size -4"),
        (lambda shard: shard.update(column_sizes=[1 << 64] * 7), "has the size 18446744073709551616"),
        (lambda shard: shard.update(column_sizes=[8.0] * 7), r"has the size 8\.0"),
        (lambda shard: shard.update(column_sizes=["8"] * 7), "has the size '8'"),
        (lambda shard: shard.update(column_encodings=[3] * 7), "without a name, an encoding"),
    ],
)
def test_hostile_indices_are_refused(folder: Path, change: Callable[[dict[str, Any]], Any], message: str) -> None:
    _edit(folder, change)
    with pytest.raises(ValueError, match=message):
        sh.Mds(folder)


def _values(source: sh.Mds) -> list[dict[str, Any]]:
    with sh.Loader(source, batch_size=None, num_workers=0, transforms={"image": [sh.CenterCrop(8)]}) as loader:
        return [{name: np.asarray(value).tolist() for name, value in sample.items()} for sample in loader]


def test_compressed_shards_are_unpacked_once(tmp_path: Path) -> None:
    source = sh.Mds(PACKED, cache=tmp_path)
    found = _values(source)
    assert [sample["n"] for sample in found] == [index - 5 for index in range(12)]
    assert [bytes(sample["b"]) for sample in found] == [bytes(index % 7) for index in range(12)]
    files = sorted((tmp_path / "mds").iterdir(), key=lambda file: file.name.partition("-")[2])
    assert [file.name.partition("-")[2] for file in files] == [f"shard.0000{at}.mds" for at in range(3)]
    assert {file.stat().st_mode & 0o777 for file in files} == {0o600}
    times = [file.stat().st_mtime_ns for file in files]
    # One that is cut off is made anew, and the others stay.
    files[1].write_bytes(b"")
    assert _values(sh.Mds(PACKED, cache=tmp_path)) == found
    again = [file.stat().st_mtime_ns for file in files]
    assert (again[0], again[2]) == (times[0], times[2])
    assert set((tmp_path / "mds").iterdir()) == set(files)


def test_another_file_of_the_same_name_is_unpacked_too(tmp_path: Path) -> None:
    shutil.copytree(PACKED, tmp_path / "mds")
    assert len(sh.Mds(tmp_path / "mds", cache=tmp_path / "cache")) == 12
    os.utime(tmp_path / "mds" / "shard.00001.mds.zstd", (1, 1))
    assert len(sh.Mds(tmp_path / "mds", cache=tmp_path / "cache")) == 12
    assert len(list((tmp_path / "cache" / "mds").iterdir())) == 4


def test_compressed_shards_need_a_cache_and_zstandard(folder: Path, tmp_path: Path) -> None:
    _edit(folder, lambda shard: shard.update(compression="br:9"))
    assert len(sh.Mds(folder)) == 12
    (folder / "shard.00001.mds").unlink()
    with pytest.raises(ValueError, match=r"shard\.00001\.mds is compressed \(br:9\).*unpack the shards beside"):
        sh.Mds(folder)
    with pytest.raises(ValueError, match=r"shard\.00000\.mds is compressed \(zstd:7\).*give a cache"):
        sh.Mds(PACKED, cache=False)
    _edit(folder, lambda shard: shard.update(compression="zstd", zip_data={"basename": "../x"}))
    with pytest.raises(ValueError, match=r"'../x' would lie outside"):
        sh.Mds(folder, cache=tmp_path)
    _edit(folder, lambda shard: shard.update(zip_data=None))
    with pytest.raises(ValueError, match=r"names no compressed file of shard\.00001\.mds"):
        sh.Mds(folder, cache=tmp_path)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda file, _: file.write_bytes(file.read_bytes()[:-9]), "is broken"),
        (lambda file, _: file.write_bytes(b"no Zstandard"), "is not Zstandard"),
        (lambda file, _: file.write_bytes(b""), "holds 0 bytes, not 4"),
        (lambda file, _: file.write_bytes(file.read_bytes() * 2), "holds more than 4"),
        (lambda _, folder: _edit(folder, lambda shard: shard["raw_data"].update(bytes=50)), "holds more than 50 bytes"),
        (lambda file, _: file.unlink(), "No such file"),
    ],
    ids=["cut", "other", "empty", "twice", "more than said", "gone"],
)
def test_broken_compressed_shards_leave_nothing(
    tmp_path: Path, damage: Callable[[Path, Path], Any], message: str
) -> None:
    shutil.copytree(PACKED, tmp_path / "mds")
    damage(tmp_path / "mds" / "shard.00001.mds.zstd", tmp_path / "mds")
    with pytest.raises((ValueError, OSError), match=message):
        sh.Mds(tmp_path / "mds", cache=tmp_path / "cache")
    names = [file.name for file in (tmp_path / "cache").rglob("*") if file.is_file()]
    assert not [name for name in names if name.endswith("-shard.00001.mds") or "part" in name]


def test_damaged_shards_are_refused_or_read(folder: Path) -> None:
    chance = random.Random(0)
    path = folder / "shard.00000.mds"
    content = path.read_bytes()
    for _ in range(200):
        damaged = bytearray(content)
        for _ in range(chance.randint(1, 3)):
            damaged[chance.randrange(len(damaged))] = chance.randrange(256)
        path.write_bytes(damaged)
        try:
            source = sh.Mds(folder, {"n": "n", "s": "s", "x": "x"})
        except ValueError:
            continue
        with sh.Loader(source, num_workers=0, memory_limit="64MiB") as loader:
            for batch in loader:
                assert len(batch["n"]) == 1
    path.unlink()
    with pytest.raises(FileNotFoundError):
        sh.Mds(folder)
