"""`stokehold.transforms` beside Pillow: equal inputs give equal pixels, within stated tolerances."""

from __future__ import annotations

import math
import re
from dataclasses import FrozenInstanceError
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import stokehold
from stokehold.transforms import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    CenterCrop,
    Normalize,
    RandomHorizontalFlip,
    RandomResizedCrop,
    Resize,
    ToDtype,
    ToLayout,
    Transform,
)

Image = pytest.importorskip("PIL.Image")

# Pillow's filter weights have 22 bits, ours 15 or so: the two roundings differ by one, seldom by two.
RESIZE_MAX, RESIZE_MEAN = 2, 0.3
# Filters with negative lobes overshoot and are cut to 0..255 between the two passes. Pillow does the
# horizontal pass first, fast_image_resize the vertical one: more of a difference, at hard edges only.
LOBED_MAX, LOBED_MEAN = 40, 0.5
# A different IDCT and, for 4:2:0, a different chroma upsampling.
JPEG_MAX, JPEG_MEAN = 24, 1.5

SIZES = [(500, 375), (375, 500), (333, 500), (224, 224), (120, 90), (640, 200), (257, 263)]
"""(width, height)"""


def picture(width: int, height: int, seed: int = 0) -> npt.NDArray[np.uint8]:
    """Edges, ramps and some noise: what a filter can get wrong."""
    y, x = np.mgrid[0:height, 0:width]
    image = np.stack([x * 255 // width, y * 255 // height, (x * 3 + y * 5) % 256], -1).astype(float)
    image[height // 4 : height // 2, width // 3 : width // 2] = (230, 30, 60)
    image += np.random.default_rng(seed).normal(0, 8, image.shape)
    return image.clip(0, 255).astype(np.uint8)


def folder(root: Path, suffix: str = ".png", **options: Any) -> list[Any]:
    """Makes an image folder and returns its images, in order, as Pillow reads them back."""
    (root / "a").mkdir()
    images = []
    for at, (width, height) in enumerate(SIZES):
        path = root / "a" / f"{at}{suffix}"
        Image.fromarray(picture(width, height, at)).save(path, **options)
        images.append(Image.open(path).convert("RGB"))
    return images


def loaded(root: Path, *transforms: Transform, **options: Any) -> npt.NDArray[Any]:
    """Returns all the folder's images, transformed, in one array."""
    with stokehold.Loader(
        stokehold.ImageFolder(root),
        batch_size=len(SIZES),
        transforms={"image": list(transforms)},
        num_workers=0,
        **options,
    ) as loader:
        (batch,) = list(loader)
        assert list(batch.indices) == list(range(len(SIZES)))
        return np.array(batch["image"])


def resized_to(image: Any, size: int) -> tuple[int, int]:
    """torchvision's `_compute_resized_output_size` for one number, as (width, height)."""
    short, long = sorted(image.size)
    other = int(size * long / short)
    return (size, other) if image.width <= image.height else (other, size)


def center_crop(image: Any, size: int) -> Any:
    """torchvision's `center_crop`, for an image that is large enough."""
    top = round((image.height - size) / 2.0)
    left = round((image.width - size) / 2.0)
    return image.crop((left, top, left + size, top + size))


def assert_close(ours: npt.NDArray[np.uint8], theirs: Any, most: float, mean: float) -> None:
    difference = np.abs(ours.astype(int) - np.asarray(theirs).astype(int))
    assert difference.max() <= most, f"max {difference.max()}, mean {difference.mean():.3f}"
    assert difference.mean() <= mean, f"max {difference.max()}, mean {difference.mean():.3f}"


FILTERS = {"bilinear": "BILINEAR", "bicubic": "BICUBIC", "lanczos": "LANCZOS"}


@pytest.mark.parametrize("interpolation", list(FILTERS))
def test_resize_and_center_crop_are_pillows(tmp_path: Path, interpolation: Any) -> None:
    images = folder(tmp_path)
    ours = loaded(tmp_path, Resize(256, interpolation=interpolation), CenterCrop(224))
    assert ours.shape == (len(SIZES), 224, 224, 3)
    assert ours.dtype == np.uint8
    for row, image in zip(ours, images, strict=True):
        filter_ = getattr(Image.Resampling, FILTERS[interpolation])
        most, mean = (RESIZE_MAX, RESIZE_MEAN) if interpolation == "bilinear" else (LOBED_MAX, LOBED_MEAN)
        assert_close(row, center_crop(image.resize(resized_to(image, 256), filter_), 224), most, mean)


def test_nearest_is_pillows_exactly(tmp_path: Path) -> None:
    images = folder(tmp_path)
    ours = loaded(tmp_path, Resize((100, 130), interpolation="nearest"))
    for row, image in zip(ours, images, strict=True):
        assert np.array_equal(row, np.asarray(image.resize((130, 100), Image.Resampling.NEAREST)))


def test_center_crop_alone_is_exact_and_pads_with_zeros(tmp_path: Path) -> None:
    images = folder(tmp_path)
    ours = loaded(tmp_path, CenterCrop(224))
    for row, image in zip(ours, images, strict=True):
        if min(image.size) >= 224:
            assert np.array_equal(row, np.asarray(center_crop(image, 224)))
    # 120x90, in the middle of 224x224.
    expected = np.zeros((224, 224, 3), np.uint8)
    expected[67:157, 52:172] = np.asarray(images[4])
    assert np.array_equal(ours[4], expected)


def test_a_sure_flip_is_the_mirror(tmp_path: Path) -> None:
    folder(tmp_path)
    plain = loaded(tmp_path, Resize((64, 80)))
    flipped = loaded(tmp_path, Resize((64, 80)), RandomHorizontalFlip(p=1.0))
    assert np.array_equal(flipped, plain[:, :, ::-1])
    assert np.array_equal(loaded(tmp_path, Resize((64, 80)), RandomHorizontalFlip(p=0.0)), plain)


def test_the_whole_image_as_random_box_is_a_resize(tmp_path: Path) -> None:
    folder(tmp_path)
    # No box of more than the image's area fits, so the fallback takes the whole image.
    whole = RandomResizedCrop(96, scale=(2.0, 2.0), ratio=(0.01, 100.0))
    assert np.array_equal(loaded(tmp_path, whole), loaded(tmp_path, Resize((96, 96))))


def test_random_transforms_depend_on_seed_and_epoch(tmp_path: Path) -> None:
    folder(tmp_path)
    chain = (RandomResizedCrop(32), RandomHorizontalFlip())
    first = loaded(tmp_path, *chain, seed=1)
    assert np.array_equal(first, loaded(tmp_path, *chain, seed=1))
    assert not np.array_equal(first, loaded(tmp_path, *chain, seed=2))


def test_normalize_is_torchvisions_arithmetic(tmp_path: Path) -> None:
    folder(tmp_path)
    pixels = loaded(tmp_path, CenterCrop(64))
    mean, std = np.array(IMAGENET_MEAN, np.float32), np.array(IMAGENET_STD, np.float32)
    expected = (pixels.astype(np.float32) / np.float32(255) - mean) / std
    ours = loaded(tmp_path, CenterCrop(64), Normalize(IMAGENET_MEAN, IMAGENET_STD), ToLayout("CHW"))
    assert ours.dtype == np.float32
    assert ours.shape == (len(SIZES), 3, 64, 64)
    np.testing.assert_allclose(ours.transpose(0, 2, 3, 1), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "int16", "int64", "uint16"])
def test_to_dtype_casts(tmp_path: Path, dtype: str) -> None:
    folder(tmp_path)
    pixels = loaded(tmp_path, CenterCrop(64))
    assert np.array_equal(loaded(tmp_path, CenterCrop(64), ToDtype(dtype)), pixels.astype(dtype))
    if dtype.startswith("float"):
        scaled = loaded(tmp_path, CenterCrop(64), ToDtype(dtype, scale=True))
        assert scaled.dtype == dtype
        assert np.array_equal(scaled, (pixels.astype(np.float64) / 255).astype(dtype))


@pytest.mark.parametrize("subsampling", ["4:4:4", "4:2:0"])
def test_jpegs_are_near_pillows(tmp_path: Path, subsampling: str) -> None:
    images = folder(tmp_path, ".jpg", quality=92, subsampling=subsampling)
    ours = loaded(tmp_path, Resize(256), CenterCrop(224))
    for row, image in zip(ours, images, strict=True):
        resized = image.resize(resized_to(image, 256), Image.Resampling.BILINEAR)
        assert_close(row, center_crop(resized, 224), JPEG_MAX, JPEG_MEAN)


def test_pixels_are_torchvisions(tmp_path: Path) -> None:
    transforms = pytest.importorskip("torchvision.transforms")
    images = folder(tmp_path)
    theirs = transforms.Compose([transforms.Resize(256), transforms.CenterCrop(224)])
    ours = loaded(tmp_path, Resize(256), CenterCrop(224))
    for row, image in zip(ours, images, strict=True):
        assert_close(row, theirs(image), RESIZE_MAX, RESIZE_MEAN)


@pytest.mark.parametrize(
    ("make", "part"),
    [
        (lambda: Resize(0), "size 0 must lie between 1 and 65535"),
        (lambda: Resize([1, 2, 3]), "size must be one number or"),
        (lambda: Resize(10, max_size=10), "max_size = 10 must be greater than size = 10"),
        (lambda: Resize((10, 10), max_size=20), "max_size goes with one size"),
        (lambda: CenterCrop([]), "size must be one number or"),
        (lambda: RandomResizedCrop(8, scale=(1.0, 0.1)), "scale"),
        (lambda: RandomResizedCrop(8, ratio=(0.0, 1.0)), "ratio"),
        (lambda: RandomHorizontalFlip(1.1), "p = 1.1 must lie between 0 and 1"),
        (lambda: RandomHorizontalFlip(math.nan), "RandomHorizontalFlip"),
        (lambda: Normalize([0.5], [0.0]), "std must not be zero"),
        (lambda: Normalize([0.5], [0.5, 0.5]), "mean has 1 values and std 2"),
        (lambda: ToDtype("int64", scale=True), "floating-point dtype, not with int64"),
        (lambda: ToDtype("float8"), "float8"),
        (lambda: ToLayout("NHWC"), "NHWC"),  # type: ignore[arg-type]
        (lambda: Resize(8, interpolation="area"), "area"),  # type: ignore[arg-type]
    ],
)
def test_arguments_out_of_range_raise_value_error(make: Any, part: str) -> None:
    with pytest.raises(ValueError, match=re.escape(part)):
        make()


def test_transforms_are_plain_frozen_data() -> None:
    crop = RandomResizedCrop(224)
    assert crop == RandomResizedCrop(224, scale=(0.08, 1.0))
    assert crop.spec() == {
        "op": "RandomResizedCrop",
        "size": [224],
        "scale": [0.08, 1.0],
        "ratio": [3 / 4, 4 / 3],
        "interpolation": "bilinear",
    }
    with pytest.raises(FrozenInstanceError):
        crop.size = 1  # type: ignore[misc]


def test_chains_that_cannot_work_are_refused_by_the_loader(tmp_path: Path) -> None:
    folder(tmp_path)
    with pytest.raises(ValueError, match="has no fixed size"):
        loaded(tmp_path, Resize(256))
    with pytest.raises(ValueError, match="must stand before Normalize"):
        loaded(tmp_path, Normalize([0.5], [0.5]), CenterCrop(8))
