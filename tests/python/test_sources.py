"""Where samples come from: paths of any bytes, which mean the same wherever the program goes."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import stokehold as sh
from stokehold import _native

WORKERS = pytest.mark.parametrize("workers", [0, 1])


def save(path: Path, value: int) -> None:
    image = pytest.importorskip("PIL.Image")
    path.parent.mkdir(parents=True, exist_ok=True)
    image.new("RGB", (8, 8), (value, value, value)).save(path)


def values(source: sh.ImageFolder | sh.Table, workers: int) -> list[int]:
    chain = {"image": [sh.CenterCrop(8)]}
    with sh.Loader(source, batch_size=4, transforms=chain, num_workers=workers) as loader:
        return [int(row) for batch in loader for row in batch["image"][:, 0, 0, 0]]


@WORKERS
def test_names_that_are_no_utf8(tmp_path: Path, workers: int) -> None:
    root = Path(os.fsdecode(os.fsencode(tmp_path) + b"/d\xe9j\xe0 vu"))
    for name, value in ((b"caf\xe9", 10), (b"caf\xe8", 20)):
        save(root / os.fsdecode(name) / "image.png", value)
    source = sh.ImageFolder(root)
    assert source.classes == [os.fsdecode(b"caf\xe8"), os.fsdecode(b"caf\xe9")]
    assert values(source, workers) == [20, 10]
    with sh.Loader(source, transforms={"image": [sh.CenterCrop(8)]}, num_workers=workers) as loader:
        assert loader.classes == source.classes == sorted(path.name for path in root.iterdir())
        state = loader.state_dict()
        loader.load_state_dict(state)
    paths: list[Path | str] = [
        root / os.fsdecode(b"caf\xe9") / "image.png",
        os.fsdecode(os.fsencode(root) + b"/caf\xe8/image.png"),
    ]
    assert values(sh.Table({"image": sh.Images(paths)}), workers) == [10, 20]


def test_a_source_is_described_without_a_loader(tmp_path: Path) -> None:
    for name, value in ((b"caf\xe9", 10), (b"a", 20)):
        save(tmp_path / os.fsdecode(name) / "image.png", value)
    samples, fields, classes = sh.ImageFolder(tmp_path).native.describe()
    assert samples == 2
    assert [(field["name"], field["kind"]) for field in json.loads(fields)] == [("image", "image"), ("label", "label")]
    assert classes == ["a", os.fsdecode(b"caf\xe9")]
    kept = tmp_path.parent / f"{tmp_path.name} kept"
    for cache in (kept, os.fsencode(kept) + b"\xff", True, False):
        again = sh.ImageFolder(tmp_path, cache=os.fsdecode(cache) if isinstance(cache, bytes) else cache)
        assert (again.native.describe(), again.classes) == ((samples, fields, classes), classes)
    # What takes no time is not kept.
    assert not kept.exists()
    gone = sh.ImageFolder(tmp_path / "gone").native
    with pytest.raises(FileNotFoundError):
        gone.describe()
    with pytest.raises(ValueError, match="not a source: "):
        _native.Source("{}")


def test_states_of_other_classes_differ_in_their_bytes(tmp_path: Path) -> None:
    states = []
    for name in (b"caf\xe9", b"caf\xe8"):
        root = tmp_path / name.hex()
        save(root / os.fsdecode(name) / "image.png", 10)
        with sh.Loader(sh.ImageFolder(root), transforms={"image": [sh.CenterCrop(8)]}, num_workers=0) as loader:
            states.append(loader.state_dict())
    assert states[0]["fingerprint"] != states[1]["fingerprint"]


def coco(folder: str) -> sh.Table:
    return sh.CocoDetection(folder, f"{folder}/objects.json")


SOURCES: dict[str, Callable[[], Any]] = {
    "ImageFolder": lambda: sh.ImageFolder("root"),
    "Images": lambda: sh.Table({"image": sh.Images(["root/a/image.png", Path("root", "b", "image.png")])}),
    "CocoDetection": lambda: coco("root"),
}


@WORKERS
@pytest.mark.parametrize("kind", SOURCES)
def test_a_relative_path_means_the_directory_in_which_it_was_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: int, kind: str
) -> None:
    save(tmp_path / "root" / "a" / "image.png", 10)
    save(tmp_path / "root" / "b" / "image.png", 20)
    images = '[{"id": 1, "file_name": "a/image.png"}, {"id": 2, "file_name": "b/image.png"}]'
    (tmp_path / "root" / "objects.json").write_text(f'{{"images": {images}, "annotations": []}}')
    monkeypatch.chdir(tmp_path)
    source = SOURCES[kind]()
    monkeypatch.chdir("/")
    assert values(source, workers) == [10, 20]


def test_a_column_of_files_keeps_its_directory_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(tmp_path / "image.png", 10)
    monkeypatch.chdir(tmp_path)
    column = sh.Images(["image.png"])
    masks = sh.Masks(["image.png"])
    monkeypatch.chdir("/")
    assert values(sh.Table({"image": column}), 0) == [10]
    assert masks.stored().arrays[0].tobytes() == os.fsencode(tmp_path / "image.png")
