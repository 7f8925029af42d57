"""Images and masks in memory: as files with the same pixels, whatever is done to them."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import stokehold as sh
from support import value

WORKERS = pytest.mark.parametrize("workers", [0, 2])
COUNT = 12
ROOM = 90 * 90
CHAIN = [
    sh.RandomRotation(20),
    sh.RandomResizedCrop(24),
    sh.RandomHorizontalFlip(),
    sh.RandomPerspective(p=0.5),
]


def pixels(number: int) -> npt.NDArray[np.uint8]:
    height, width = 40 + number, 60 - number
    y, x = np.mgrid[0:height, 0:width]
    return np.stack([x // 4 + 3 * (y // 5) + number, 2 * y, 3 * x], -1).astype(np.uint8)


def encoded(array: npt.NDArray[Any]) -> bytes:
    image = pytest.importorskip("PIL.Image")
    out = io.BytesIO()
    image.fromarray(array).save(out, "PNG")
    return out.getvalue()


def given(kind: str, arrays: list[npt.NDArray[Any]], folder: Path) -> list[Any]:
    """The same images as arrays, as bytes, as files, and mixed."""
    if kind == "arrays":
        return arrays
    if kind == "bytes":
        return [encoded(array) for array in arrays]
    if kind == "mixed":
        others = (np.ndarray.copy, encoded, lambda array: bytearray(encoded(array)), lambda a: memoryview(encoded(a)))
        return [others[number % 4](array) for number, array in enumerate(arrays)]
    paths = [folder / f"{number}.png" for number in range(len(arrays))]
    for path, array in zip(paths, arrays, strict=True):
        path.write_bytes(encoded(array))
    return paths


def rows(kind: str, folder: Path, workers: int) -> list[Any]:
    images = [pixels(number) for number in range(COUNT)]
    masks = [image[..., 0] for image in images]
    for name in ("image", "mask"):
        (folder / name).mkdir()
    table = sh.Table(
        {
            "image": sh.Images(given(kind, images, folder / "image")),
            "mask": sh.Masks(given(kind, masks, folder / "mask")),
            "boxes": sh.BoundingBoxes([[[3, 4, 20, 30]]] * COUNT),
        }
    )
    options: dict[str, Any] = {"batch_size": 5, "shuffle": True, "seed": 3, "transforms": {"image": CHAIN}}
    with sh.Loader(table, num_workers=workers, **options) as loader:
        return [value(batch) for batch in loader]


@WORKERS
@pytest.mark.parametrize("kind", ["arrays", "bytes", "mixed"])
def test_images_in_memory_are_as_those_in_files(tmp_path: Path, workers: int, kind: str) -> None:
    (tmp_path / "files").mkdir()
    (tmp_path / "memory").mkdir()
    assert rows(kind, tmp_path / "memory", workers) == rows("files", tmp_path / "files", 0)


@WORKERS
def test_a_mask_in_memory_follows_its_image(workers: int) -> None:
    images = np.stack([pixels(0)] * COUNT)
    table = sh.Table({"image": sh.Images(images), "mask": sh.Masks(images[..., 0])})
    flips = {"image": [sh.RandomHorizontalFlip(), sh.RandomVerticalFlip(), sh.RandomCrop(32)]}
    with sh.Loader(table, batch_size=COUNT, transforms=flips, num_workers=workers) as loader:
        (batch,) = loader
        assert np.array_equal(batch["image"][..., 0], batch["mask"])
        assert len(np.unique(batch["mask"].reshape(COUNT, -1), axis=0)) > COUNT // 2


def shown(array: npt.NDArray[Any]) -> Any:
    table = sh.Table({"image": sh.Images([array])})
    with sh.Loader(table, capacity={"image": ROOM}, num_workers=0) as loader:
        return next(iter(loader))["image"][0]


@pytest.mark.parametrize("channels", [None, 1, 2, 3, 4])
def test_an_array_is_taken_for_a_file_of_its_pixels(channels: int | None) -> None:
    image = pytest.importorskip("PIL.Image")
    shape = (7, 9) if channels is None else (7, 9, channels)
    array = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    flat = array[..., 0] if channels == 1 else array
    assert np.array_equal(shown(array), np.asarray(image.fromarray(flat).convert("RGB")))
    assert np.array_equal(shown(array[::-1, ::2]), np.asarray(image.fromarray(flat[::-1, ::2]).convert("RGB")))


def test_masks_in_memory_are_indices() -> None:
    index = np.arange(63).reshape(7, 9)
    images = [np.zeros((7, 9, 3), np.uint8)] * 4
    masks = [index, index > 30, index[..., None].astype(np.uint64), index.astype(np.uint8)]
    table = sh.Table({"image": sh.Images(images), "mask": sh.Masks(masks)})
    with sh.Loader(table, batch_size=4, capacity={"image": ROOM, "mask": ROOM}, num_workers=0) as loader:
        (batch,) = loader
        assert [row.tolist() for row in batch["mask"]] == [index.tolist(), (index > 30).tolist()] + [index.tolist()] * 2


@pytest.mark.parametrize("dtype", ["uint16", "int32"])
def test_masks_of_instances_in_memory(dtype: str) -> None:
    index = (np.arange(63) * 1040).reshape(7, 9)
    masks = sh.Masks([index, index % 256], dtype=dtype)
    table = sh.Table({"image": sh.Images([np.zeros((7, 9, 3), np.uint8)] * 2), "mask": masks})
    with sh.Loader(table, batch_size=2, capacity={"image": ROOM, "mask": ROOM}, num_workers=0) as loader:
        (batch,) = loader
        assert [row.tolist() for row in batch["mask"]] == [index.tolist(), (index % 256).tolist()]
        assert batch["mask"][0].dtype == dtype
    with pytest.raises(ValueError, match=f"row 0 has the index 65536; masks of {dtype} hold 0 to 65535"):
        sh.Masks([np.array([[0, 65536]])], dtype=dtype)


@pytest.mark.parametrize("channels", [None, 3, 4])
def test_images_of_16_bits_in_memory_keep_them(channels: int | None) -> None:
    shape = (7, 9) if channels is None else (7, 9, channels)
    array = np.random.default_rng(1).integers(0, 65536, shape, np.uint16)
    mode = {None: "L", 3: "RGB", 4: "RGBA"}[channels]
    table = sh.Table({"image": sh.Images([array])})
    chain = {"image": [sh.DecodeImage(mode=mode, dtype="uint16")]}
    with sh.Loader(table, transforms=chain, capacity={"image": ROOM}, num_workers=0) as loader:
        (batch,) = loader
        assert np.array_equal(np.squeeze(batch["image"][0]), array)


IMAGE = np.zeros((4, 5, 3), np.uint8)
BAD: dict[str, tuple[type[sh.Images | sh.Masks], Any, type[Exception], str]] = {
    "mixed with paths": (sh.Images, [IMAGE, "a.png"], TypeError, "Images: row 0 is in memory and row 1 a path: all"),
    "another thing": (sh.Images, [IMAGE, 3], TypeError, "Images: row 1 must be a path, a NumPy array or .* not .*int"),
    "one path": (sh.Masks, "a.png", TypeError, "Masks: rows must be a sequence of paths"),
    "fractions": (sh.Images, [IMAGE / 2], ValueError, "Images: row 0 has dtype float64; images in memory are uint8 or"),
    "five channels": (sh.Images, [np.zeros((4, 5, 5), np.uint8)], ValueError, r"row 0 has shape \(4, 5, 5\)"),
    "channels first": (sh.Images, [np.zeros((3, 20, 30), np.uint8)], ValueError, r"row 0 has shape \(3, 20, 30\)"),
    "no pixels": (sh.Images, [IMAGE, IMAGE[:0]], ValueError, r"row 1 has shape \(0, 5, 3\)"),
    "no bytes": (sh.Images, [b""], ValueError, "Images: row 0 has no bytes"),
    "no path": (sh.Images, ["a", ""], ValueError, "Images: row 1 is '', which is no path"),
    "a colour mask": (sh.Masks, [IMAGE], ValueError, r"Masks: row 0 has shape \(4, 5, 3\)"),
    "an index below 0": (sh.Masks, [np.array([[0, -1]])], ValueError, "Masks: row 0 has the index -1"),
    "an index that is too large": (
        sh.Masks,
        [np.array([[0, 256]])],
        ValueError,
        "row 0 has the index 256; .* 0 to 255",
    ),
    "fractions of a mask": (sh.Masks, [np.zeros((2, 2))], ValueError, "Masks: row 0 has dtype float64"),
}


@pytest.mark.parametrize("name", BAD)
def test_mistakes_are_named_at_once(name: str) -> None:
    kind, given, error, message = BAD[name]
    with pytest.raises(error, match=message):
        kind(given)


def test_what_cannot_be_decoded_is_named_by_its_row() -> None:
    table = sh.Table({"image": sh.Images([encoded(IMAGE), b"no image"])})
    with sh.Loader(table, capacity={"image": ROOM}, num_workers=0) as loader:
        batches = iter(loader)
        next(batches)
        with pytest.raises(sh.DecodeError, match=r"sample 1 \(`row 1`\): is not an image format"):
            next(batches)


def test_an_array_that_seems_to_belong_to_an_image_is_not_left_behind() -> None:
    images = np.zeros((8, 6, 6, 3), np.uint8)
    flip = {"image": [sh.RandomHorizontalFlip(1.0)]}
    room: dict[str, Any] = {"capacity": {"image": 36}}
    for name, source, options in (
        ("mask", sh.Arrays({"image": images, "mask": images[..., 0]}), {}),
        ("depth", sh.Arrays({"image": images, "depth": images[..., 0].astype(np.float32)}), {}),
        ("boxes", sh.Arrays({"image": images, "boxes": np.zeros((8, 5, 4), np.float32)}), {}),
        ("keypoints", sh.Table({"image": images, "keypoints": np.zeros((8, 17, 2))}), {}),
        ("mask", sh.Table({"image": sh.Images(images), "mask": images[..., 0]}), room),
    ):
        with pytest.raises(ValueError, match=f"field `{name}` is an array, which does not follow `image`"):
            sh.Loader(source, transforms=flip, num_workers=0, **options)
    source = sh.Arrays({"image": images, "mask": images[..., 0]})
    with sh.Loader(source, transforms=flip | {"mask": []}, num_workers=0) as loader:
        assert loader.spec["mask"].shape == (6, 6)
    column: Any = sh.Images(images)
    with pytest.raises(TypeError, match="column `image` is one of Images, which a Table takes, and Arrays do not"):
        sh.Arrays({"image": column})
    with pytest.raises(ValueError, match=r"column `mask` belongs to column `image`, which has no images; give that as"):
        sh.Table({"image": images, "mask": sh.Masks(images[..., 0])})
