"""Shards that MosaicML Streaming 0.13 wrote (tests/data/mds), and damaged ones."""

from __future__ import annotations

import json
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
    ],
)
def test_hostile_indices_are_refused(folder: Path, change: Callable[[dict[str, Any]], Any], message: str) -> None:
    _edit(folder, change)
    with pytest.raises(ValueError, match=message):
        sh.Mds(folder)


def test_compressed_shards_say_what_to_do(folder: Path) -> None:
    _edit(folder, lambda shard: shard.update(compression="zstd"))
    assert len(sh.Mds(folder)) == 12
    (folder / "shard.00001.mds").unlink()
    with pytest.raises(ValueError, match=r"shard\.00001\.mds is compressed \(zstd\).*zstd -d"):
        sh.Mds(folder)


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
