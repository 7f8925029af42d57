"""`stokehold.transforms` beside torchvision and Pillow: equal draws give equal pixels, within stated tolerances.

What torchvision gives depends on the processor, so `reference` has its formulas with all that correct roundings may
make of them; ours must be among that, and so must torchvision's on the machine at hand, which checks the formulas.

Draws are made equal by bounds that leave no choice. Where a transform chooses among operations, the result must be one
of those that torchvision's operations can give, and all of them must occur.
"""

from __future__ import annotations

import itertools
import math
import re
from dataclasses import FrozenInstanceError
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import reference
import stokehold
from reference import Range
from stokehold.transforms import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    AutoAugment,
    CenterCrop,
    ColorJitter,
    GaussianBlur,
    Grayscale,
    Normalize,
    Pad,
    RandAugment,
    RandomAffine,
    RandomCrop,
    RandomErasing,
    RandomGrayscale,
    RandomHorizontalFlip,
    RandomPerspective,
    RandomResizedCrop,
    RandomRotation,
    RandomVerticalFlip,
    Resize,
    ToDtype,
    ToLayout,
    Transform,
    TrivialAugmentWide,
)

Image = pytest.importorskip("PIL.Image")

# Pillow's filter weights have 22 bits, ours 15 or so: the two roundings differ by one, seldom by two.
RESIZE_MAX, RESIZE_MEAN = 2, 0.3
# Filters with negative lobes overshoot and are cut to 0..255 between the two passes, so their order shows. Ours is
# torchvision's, the horizontal one first; Pillow 13 sometimes takes the other one, with differences at hard edges.
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


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize("size", [(100, 130), (300, 400), (150, 331), (224, 100)])
def test_resizing_is_torchvisions_on_tensors(interpolation: Any, size: tuple[int, int]) -> None:
    v2 = pytest.importorskip("torchvision.transforms.v2")
    mode = v2.InterpolationMode(interpolation)
    for image in photographs():
        width_first = reference.resized(image, size, interpolation, width_first=True)
        ours = transformed(image, Resize(size, interpolation))[0]
        # Filters that do not overshoot may take the edges in any order.
        assert ours in reference.resized(image, size, interpolation, width_first=interpolation != "bilinear")
        # Without AVX2, torchvision mixes in floating point and rounds once.
        expected = theirs(image, lambda tensor: functional().resize(tensor, list(size), mode, antialias=True))
        assert expected in width_first or (
            interpolation == "bilinear" and expected in reference.smooth(image, size, interpolation)
        )


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


def photographs() -> list[npt.NDArray[np.uint8]]:
    """Real ones, of an odd size, of another and a square."""
    datasets = pytest.importorskip("sklearn.datasets")
    china, flower = (datasets.load_sample_image(name) for name in ("china.jpg", "flower.jpg"))
    return [china[::2, ::2], flower[50:251, 100:341], china[100:228, 200:328]]


def transformed(image: npt.NDArray[np.uint8], *transforms: Transform, rows: int = 1) -> npt.NDArray[Any]:
    """Returns the image as each of so many samples has it."""
    with stokehold.Loader(
        stokehold.Arrays({"image": np.repeat(image[None], rows, 0)}),
        batch_size=rows,
        transforms={"image": list(transforms)},
        num_workers=0,
    ) as loader:
        (batch,) = list(loader)
        return np.array(batch["image"])


def torch() -> Any:
    return pytest.importorskip("torch")


@pytest.fixture(scope="module", autouse=True)
def _torch_has_its_threads() -> None:
    """Libraries start threads at their first work; no test is to seem to leave them behind."""
    photographs()
    reference.resized(picture(900, 900), (500, 500), "bilinear", width_first=True)
    if find_spec("torchvision") is not None:
        theirs(picture(900, 900), lambda tensor: functional().resize(tensor, [500, 500], antialias=True))
        theirs(picture(900, 900), lambda tensor: functional().gaussian_blur(tensor, [3, 3]))


def functional() -> Any:
    torch()
    return pytest.importorskip("torchvision.transforms.v2.functional")


def theirs(image: npt.NDArray[Any], change: Any) -> npt.NDArray[Any]:
    """Returns what a function of torchvision makes of an image."""
    changed: npt.NDArray[Any] = change(torch().from_numpy(image.copy()).permute(2, 0, 1)).permute(1, 2, 0).numpy()
    return changed


def assert_torchvision(ours: npt.NDArray[Any], expected: npt.NDArray[Any]) -> None:
    """Of two images between which there is nothing to compute."""
    assert ours.shape == expected.shape
    assert np.array_equal(ours, expected), f"{(ours != expected).mean():.4%} differ"


def assert_among(correct: Range, ours: npt.NDArray[Any], theirs: npt.NDArray[Any], undecided: float = 0.02) -> None:
    """Both must be among the correct roundings, of which no more than a part of the pixels has several.

    Those are places on a line half-way between two rows, and colours whose products with tenths are whole numbers.
    """
    for name, image in (("ours", ours), ("torchvision's", theirs)):
        assert image.shape == correct.low.shape, name
        beyond = np.maximum(correct.low - image, image - correct.high)
        assert beyond.max() <= 0, f"{name}: {beyond.max()} beyond at {(beyond > 0).mean():.4%}"
    assert correct.undecided() <= undecided


@pytest.mark.parametrize("factor", [0.0, 0.3, 1.3, 2.5])
@pytest.mark.parametrize("name", ["brightness", "contrast", "saturation"])
def test_color_jitter_is_torchvisions(name: str, factor: float) -> None:
    adjust = getattr(functional(), f"adjust_{name}")
    for image in photographs():
        ours = transformed(image, ColorJitter(**{name: (factor, factor)}))[0]
        correct = getattr(reference, name)(Range.of(image), factor)
        assert_among(correct, ours, theirs(image, lambda tensor: adjust(tensor, factor)), 0.06)


@pytest.mark.parametrize("shift", [-0.5, -0.3, 0.05, 0.4])
def test_hue_is_torchvisions(shift: float) -> None:
    adjust = functional().adjust_hue
    for image in photographs():
        ours = transformed(image, ColorJitter(hue=(shift, shift)))[0]
        assert_among(reference.hue(image, shift), ours, theirs(image, lambda tensor: adjust(tensor, shift)))


def test_color_jitter_draws_its_order_and_its_factors() -> None:
    image = photographs()[2]
    many = transformed(image, ColorJitter(0.4, 0.4, 0.4, 0.1), rows=20)
    assert len({row.tobytes() for row in many}) == 20
    means = transformed(image, ColorJitter(brightness=0.5), rows=200).mean((1, 2, 3)) / image.mean()
    # Values are cut to whole numbers.
    assert 0.49 <= means.min() < 0.6
    # Bright pixels are cut at 255.
    assert 1.2 < means.max() <= 1.5


def test_grey_is_pillows() -> None:
    for image in photographs():
        grey = np.asarray(Image.fromarray(image).convert("L"))[..., None]
        assert np.array_equal(transformed(image, Grayscale())[0], grey)
        three = grey.repeat(3, -1)
        assert np.array_equal(transformed(image, Grayscale(3))[0], three)
        assert np.array_equal(transformed(image, RandomGrayscale(1.0))[0], three)
        assert np.array_equal(transformed(image, RandomGrayscale(0.0))[0], image)
        assert np.array_equal(transformed(grey, Grayscale())[0], grey)
        assert np.array_equal(transformed(grey, Grayscale(3))[0], three)


@pytest.mark.parametrize(("kernel", "sigma"), [((3, 3), 0.5), ((23, 23), 1.7), ((5, 9), 2.0), ((1, 1), 1.0)])
def test_blur_is_torchvisions(kernel: tuple[int, int], sigma: float) -> None:
    blur = functional().gaussian_blur
    # Ours sums along one edge after the other, torchvision all at once.
    roundings, all_at_once = 2 * sum(kernel), 2 * math.prod(kernel)
    for image in photographs():
        ours = transformed(image, GaussianBlur(kernel, sigma))[0]
        expected = theirs(image, lambda tensor: blur(tensor, list(kernel), [sigma, sigma]))
        assert expected in reference.blurred(image, kernel, sigma, all_at_once)
        assert_among(reference.blurred(image, kernel, sigma, roundings), ours, ours)


@pytest.mark.parametrize("angle", [-17.3, 30, 45, 90, 123, 180, 270])
@pytest.mark.parametrize("fill", [None, 0, (10, 100, 200)])
@pytest.mark.parametrize("interpolation", ["nearest", "bilinear"])
def test_rotation_is_torchvisions(interpolation: Any, fill: Any, angle: float) -> None:
    v2 = pytest.importorskip("torchvision.transforms.v2")
    mode, mixes = v2.InterpolationMode(interpolation), interpolation == "bilinear"
    for image in photographs():
        correct = reference.rotated(Range.of(image), angle, mixes, fill=fill)
        ours = transformed(image, RandomRotation((angle, angle), interpolation, fill=fill))[0]
        expected = theirs(image, lambda tensor: functional().rotate(tensor, angle, mode, fill=fill))
        assert_among(correct, ours, expected)
        if interpolation == "nearest":

            def cut(tensor: Any) -> Any:
                return functional().center_crop(tensor, 500)

            larger = transformed(image, RandomRotation((angle, angle), expand=True, fill=fill), CenterCrop(500))[0]
            correct = reference.rotated(Range.of(image), angle, expand=True, fill=fill)
            expected = theirs(image, lambda tensor: cut(functional().rotate(tensor, angle, expand=True, fill=fill)))
            assert_among(correct.moved(lambda values: theirs(values, cut)), larger, expected)


@pytest.mark.parametrize("interpolation", ["nearest", "bilinear"])
def test_affine_is_torchvisions(interpolation: Any) -> None:
    v2 = pytest.importorskip("torchvision.transforms.v2")
    mode, change = (
        v2.InterpolationMode(interpolation),
        RandomAffine((25, 25), None, (1.2, 1.2), (10, 10, -5, -5), interpolation, 7, (30, 40)),
    )
    for image in photographs():
        matrix = reference.inverse((image.shape[0], image.shape[1]), 25, scale=1.2, shear=(10, -5), center=(30, 40))
        if interpolation == "bilinear":
            correct = reference.mixed(image, matrix, 7)
        else:
            correct = reference.nearest(Range.of(image), matrix, 7)

        def expected(tensor: Any) -> Any:
            return functional().affine(tensor, 25.0, [0, 0], 1.2, [10.0, -5.0], mode, [7.0], [30.0, 40.0])

        assert_among(correct, transformed(image, change)[0], theirs(image, expected))


@pytest.mark.parametrize("fill", [None, 7, (10, 100, 200)])
@pytest.mark.parametrize("interpolation", ["nearest", "bilinear"])
def test_perspective_is_torchvisions(interpolation: Any, fill: Any) -> None:
    mode = pytest.importorskip("torchvision.transforms.v2").InterpolationMode(interpolation)
    image = picture(14, 12)
    # By one pixel along each edge, so that all that can be drawn can be tried.
    many = transformed(image, RandomPerspective(0.17, 1.0, interpolation, fill), rows=100)
    left, right, top, bottom = (0, 1), (12, 13), (0, 1), (10, 11)
    corners = [itertools.product(x, y) for x, y in ((left, top), (right, top), (right, bottom), (left, bottom))]
    found, undecided = set(), []
    for ends in itertools.product(*corners):
        correct = reference.perspective(image, list(ends), fill, mixes=interpolation == "bilinear")
        rows = [at for at, row in enumerate(many) if row in correct]
        if rows:

            def change(tensor: Any, ends: Any = ends) -> Any:
                starts = [[0, 0], [13, 0], [13, 11], [0, 11]]
                return functional().perspective(tensor, starts, [list(end) for end in ends], mode, fill)

            # A corner that stays keeps lines of pixels half-way between two, of which either will do.
            assert_among(correct, many[rows[0]], theirs(image, change), 0.5)
            undecided.append(correct.undecided())
            found |= set(rows)
    assert len(found) == len(many), "a row is none of those that can be drawn"
    assert len(undecided) > 60
    assert np.median(undecided) < 0.1


def test_a_perspective_stays_where_it_is_as_often_as_asked() -> None:
    image = picture(30, 22)
    many = transformed(image, RandomPerspective(0.5, 0.3), rows=400)
    assert 60 < sum(not np.array_equal(row, image) for row in many) < 190


def test_translations_are_whole_pixels_within_their_bounds() -> None:
    image = picture(50, 40)
    many = transformed(image, RandomAffine(0, translate=(0.1, 0.2), fill=(1, 2, 3)), rows=100)
    moved = {}
    for x in range(-5, 6):
        for y in range(-8, 9):

            def move(tensor: Any, x: int = x, y: int = y) -> Any:
                return functional().affine(tensor, 0.0, [x, y], 1.0, [0.0, 0.0], fill=[1, 2, 3])

            moved[theirs(image, move).tobytes()] = (x, y)
    moves = {moved[row.tobytes()] for row in many}
    assert {x for x, _ in moves} == set(range(-5, 6))
    assert len({y for _, y in moves}) > 12


@pytest.mark.parametrize("mode", ["constant", "edge", "reflect", "symmetric"])
def test_padding_is_torchvisions(mode: Any) -> None:
    for image in photographs():
        ours = transformed(image, Pad((3, 50, 70, 9), 5, mode))[0]
        expected = theirs(image, lambda t: functional().pad(t, [3, 50, 70, 9], 5, mode))
        assert_torchvision(ours, expected)
        # All of the crop that a padding leaves room for.
        whole = RandomCrop(expected.shape[:2], (3, 50, 70, 9), fill=5, padding_mode=mode)
        assert_torchvision(transformed(image, whole)[0], expected)


def test_random_crops_are_parts_of_the_padded_image() -> None:
    image = picture(12, 10)
    padded = np.pad(image, ((2, 2), (2, 2), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (8, 8), (0, 1)).transpose(0, 1, 3, 4, 2)
    places = set()
    for row in transformed(image, RandomCrop(8, 2), rows=1000):
        ((top, left),) = np.argwhere((windows == row).all((2, 3, 4)))
        places.add((int(top), int(left)))
    assert places == {(top, left) for top in range(7) for left in range(9)}


def test_small_images_are_padded_if_needed_or_refused() -> None:
    image = picture(12, 10)
    # Padded by 10 above and below, of which one more than 10 places is cut out.
    many = transformed(image, RandomCrop((20, 12), pad_if_needed=True), rows=100)
    tops = {int(np.flatnonzero(row.any((1, 2)))[0]) for row in many}
    assert tops == set(range(11))
    with pytest.raises(stokehold.DecodeError, match="a crop of 12x20 is larger than the padded image of 12x10"):
        transformed(image, RandomCrop((20, 12)))


def test_flips_are_torchvisions() -> None:
    for image in photographs():
        assert np.array_equal(transformed(image, RandomVerticalFlip(1.0))[0], image[::-1])
        both = transformed(image, RandomVerticalFlip(1.0), RandomHorizontalFlip(1.0), Normalize([0.0], [1.0]))[0]
        assert np.array_equal(both, (image[::-1, ::-1] / 255).astype(np.float32))
        shifted = transformed(image, RandomVerticalFlip(1.0), RandomCrop(100, padding=3), Resize((50, 50)))
        assert shifted.shape == (1, 50, 50, 3)


def apply(augment: Any, name: str, strength: float, image: npt.NDArray[np.uint8]) -> npt.NDArray[Any]:
    """Returns what torchvision makes of an image by one operation of a policy."""

    def change(tensor: Any) -> Any:
        mode = pytest.importorskip("torchvision.transforms.v2").InterpolationMode.NEAREST
        return augment._apply_image_or_video_transform(tensor, name, strength, mode, {torch().Tensor: None})

    return theirs(image, change)


def operations(
    image: npt.NDArray[np.uint8], augment: Any, bins: range, count: int, *, wide: bool = False
) -> dict[str, Range]:
    """Returns all that one operation of a torchvision policy can make of an image."""
    size = (image.shape[0], image.shape[1])
    found = {}
    for name, (magnitudes, signed) in augment._AUGMENTATION_SPACE.items():
        given, expected = magnitudes(count, *size), reference.strengths(name, count, size, wide=wide)
        for at in [0] if given is None else bins:
            magnitude = 0.0 if given is None else float(given[at])
            assert expected[at][0] <= magnitude <= expected[at][1]
            for sign in (1, -1) if signed else (1,):
                strength = (sign * expected[at][0], sign * expected[at][1])
                found[f"{name} {sign * magnitude:.3}"] = made = reference.augmented(Range.of(image), name, strength)
                assert apply(augment, name, sign * magnitude, image) in made, name
    return found


def chosen(rows: npt.NDArray[Any], choices: dict[str, Range]) -> set[str]:
    """Returns which of the choices occur; each row must be one of them."""
    names = set()
    for row in {row.tobytes(): row for row in rows}.values():
        same = {name for name, choice in choices.items() if row in choice}
        assert same, "no operation of torchvision's gives this"
        names |= same
    return names


def test_rand_augment_chooses_among_torchvisions_operations() -> None:
    v2 = pytest.importorskip("torchvision.transforms.v2")
    image = photographs()[2]
    for magnitude in (9, 30):
        choices = operations(image, v2.RandAugment(), range(magnitude, magnitude + 1), 31)
        assert chosen(transformed(image, RandAugment(1, magnitude), rows=400), choices) == set(choices)
    assert np.array_equal(transformed(image, RandAugment(0))[0], image)
    twice = transformed(image, RandAugment(), rows=50)
    assert len({row.tobytes() for row in twice}) > 25


def test_trivial_augment_wide_chooses_among_torchvisions_operations() -> None:
    v2 = pytest.importorskip("torchvision.transforms.v2")
    image = photographs()[2][:64, :80]
    choices = operations(image, v2.TrivialAugmentWide(), range(5), 5, wide=True)
    assert chosen(transformed(image, TrivialAugmentWide(5), rows=1500), choices) == set(choices)


@pytest.mark.parametrize("policy", ["imagenet", "cifar10", "svhn"])
def test_auto_augment_gives_what_torchvisions_policy_can(policy: Any) -> None:
    v2 = pytest.importorskip("torchvision.transforms.v2")
    augment = v2.AutoAugment(v2.AutoAugmentPolicy(policy))
    image = photographs()[2][:48, :64]
    choices: dict[str, Range] = {}

    def spread(name: str, made: Range, after: npt.NDArray[Any], pair: list[Any]) -> None:
        if not pair:
            choices[name] = made
            assert after in made, name
            return
        (operation, probability, bin_), *rest = pair
        if probability < 1:
            spread(f"{name} -", made, after, rest)
        magnitudes, signed = augment._AUGMENTATION_SPACE[operation]
        given, (least, most) = magnitudes(10, 48, 64), reference.strengths(operation, 10, (48, 64))[bin_ or 0]
        magnitude = 0.0 if given is None else float(given[bin_])
        for sign in ((1, -1) if signed else (1,)) if probability > 0 else ():
            then = reference.augmented(made, operation, (sign * least, sign * most))
            spread(f"{name} {operation} {sign}", then, apply(augment, operation, sign * magnitude, after), rest)

    for at, pair in enumerate(augment._policies):
        spread(str(at), Range.of(image), image, list(pair))
    found = chosen(transformed(image, AutoAugment(policy), rows=1200), choices)
    assert len(found) > 0.9 * len(choices)


@pytest.mark.parametrize("layout", ["HWC", "CHW"])
def test_erasing_sets_a_box_as_torchvision_would(layout: Any) -> None:
    image = photographs()[2]
    finish = [Normalize(IMAGENET_MEAN, IMAGENET_STD), ToLayout(layout)]
    plain = transformed(image, *finish)[0]
    many = transformed(image, *finish, RandomErasing(1.0, value=(9.0, 8.0, 7.0)), rows=200)
    areas, ratios = [], []
    for row in many if layout == "HWC" else many.transpose(0, 2, 3, 1):
        erased = (row == (9, 8, 7)).all(-1)
        (top, left), (bottom, right) = np.argwhere(erased).min(0), np.argwhere(erased).max(0) + 1
        assert erased.sum() == (bottom - top) * (right - left)
        assert np.array_equal(row[~erased], (plain if layout == "HWC" else plain.transpose(1, 2, 0))[~erased])
        areas.append(erased.mean())
        ratios.append((bottom - top) / (right - left))
    assert 0.015 < min(areas) < 0.05
    assert 0.28 < max(areas) < 0.335
    assert 0.25 < min(ratios) < 0.5
    assert 2 < max(ratios) < 4
    assert 60 < sum((row != plain).any() for row in transformed(image, *finish, RandomErasing(), rows=200)) < 140


def test_erased_values_go_through_the_rest_of_the_chain() -> None:
    image = photographs()[2]
    before = transformed(image, RandomErasing(1.0, value=51), ToDtype("float32", scale=True), Normalize([0.5], [0.5]))
    between = transformed(image, ToDtype("float32", scale=True), RandomErasing(1.0, value=0.2), Normalize([0.5], [0.5]))
    assert np.isclose(before, -0.6).any()
    # Each stands at another place, and so draws another box.
    assert np.isclose(between, -0.6).any()
    assert (transformed(image, RandomErasing(1.0, value=(1, 2, 3)))[0] == (1, 2, 3)).all(-1).any()


def test_erasing_with_random_values_is_normal() -> None:
    image = np.full((96, 96, 3), 255, np.uint8)
    rows = transformed(image, ToDtype("float32"), RandomErasing(1.0, value="random"), rows=50)
    values = rows[rows != 255.0]
    assert values.size > 50_000
    assert abs(values.mean()) < 0.02
    assert abs(values.std() - 1.0) < 0.02


@pytest.mark.parametrize(
    ("make", "part"),
    [
        (lambda: Resize(0), "size must be 1 to 65535, or a sequence of integers, not 0"),
        (lambda: Resize([1, 2, 3]), "size must be one number or"),
        (lambda: Resize(10, max_size=10), "max_size = 10 must be greater than size = 10"),
        (lambda: Resize((10, 10), max_size=20), "max_size goes with one size"),
        (lambda: CenterCrop([]), "size must be one number or"),
        (lambda: RandomResizedCrop(8, scale=(1.0, 0.1)), "scale"),
        (lambda: RandomResizedCrop(8, ratio=(0.0, 1.0)), "ratio"),
        (lambda: RandomHorizontalFlip(1.1), "p = 1.1 must lie between 0 and 1"),
        (lambda: RandomHorizontalFlip(math.nan), "RandomHorizontalFlip"),
        (lambda: RandomVerticalFlip(-0.1), "p = -0.1 must lie between 0 and 1"),
        (lambda: RandomCrop(8, padding=(1, 2, 3)), "padding must be one, two or four numbers, not 3"),
        (lambda: RandomCrop(8, fill=(1, 2, 3, 4, 5)), "fill must be one value or one per channel, not 5"),
        (lambda: Pad(-1), "-1"),
        (lambda: Pad(1, padding_mode="circular"), "circular"),  # type: ignore[arg-type]
        (lambda: ColorJitter(brightness=-1), "brightness = -1 must not be negative"),
        (lambda: ColorJitter(hue=0.6), "hue = 0.6 must not be negative and not more than 0.5"),
        (lambda: ColorJitter(contrast=(1, 2, 3)), "contrast must be one number or two, not 3"),
        (lambda: Grayscale(2), "num_output_channels = 2 must be 1 or 3"),
        (lambda: RandomGrayscale(2), "p = 2 must lie between 0 and 1"),
        (lambda: GaussianBlur(4), "kernel_size must be one odd number or two"),
        (lambda: GaussianBlur(3, (2, 1)), "sigma = (2, 1)"),
        (lambda: RandomRotation(-5), "degrees = -5 must not be negative"),
        (lambda: RandomRotation(5, "bicubic"), "interpolation must be nearest or bilinear"),
        (lambda: RandomRotation(5, center=(1, 2, 3)), "3"),
        (lambda: RandomPerspective(1.5), "distortion_scale = 1.5 must lie between 0 and 1"),
        (lambda: RandomPerspective(interpolation="bicubic"), "interpolation must be nearest or bilinear"),
        (lambda: RandomAffine(0, translate=(2, 0)), "translate = (2, 0) must lie between 0 and 1"),
        (lambda: RandomAffine(0, scale=(0, 1)), "scale = (0, 1)"),
        (lambda: RandomAffine(0, shear=(1, 2, 3)), "shear must be one, two or four numbers, not 3"),
        (lambda: RandAugment(magnitude=31), "magnitude = 31 must be less than num_magnitude_bins"),
        (lambda: TrivialAugmentWide(1), "num_magnitude_bins = 1 must be at least 2"),
        (lambda: AutoAugment("mnist"), "mnist"),  # type: ignore[arg-type]
        (lambda: RandomErasing(scale=(0.5, 1.5)), "scale = (0.5, 1.5) must lie between 0 and 1"),
        (
            lambda: RandomErasing(value="noise"),  # type: ignore[arg-type]
            "value must be 'random', a number, or a sequence of numbers, not 'noise'",
        ),
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


def test_arguments_become_plain_by_their_types() -> None:
    given: dict[str, Any] = {
        "degrees": np.float32(2),
        "translate": np.array([0, 0.5]),
        "shear": range(2),
        "fill": (1, 2, 3),
    }
    assert RandomAffine(**given).spec() == {
        "op": "RandomAffine",
        "degrees": [2.0],
        "translate": [0.0, 0.5],
        "scale": None,
        "shear": [0.0, 1.0],
        "interpolation": "nearest",
        "fill": [1, 2, 3],
        "center": None,
    }
    assert RandomCrop(8).spec()["padding"] == []
    assert RandomErasing(value="random").spec()["value"] is None
    assert stokehold.RandomChoice([stokehold.MixUp()], p=(1,)).spec() == {
        "op": "RandomChoice",
        "transforms": [stokehold.MixUp().spec()],
        "p": [1.0],
    }


def test_a_subclass_is_what_it_was_made_from() -> None:
    class Thumbnail(CenterCrop):
        def __init__(self) -> None:
            super().__init__(64)

    assert Thumbnail().spec() == {"op": "CenterCrop", "size": [64]}


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: RandomHorizontalFlip(None), "RandomHorizontalFlip: p must be a number, not None"),  # type: ignore[arg-type]
        (lambda: Normalize(0.5, 0.5), "Normalize: mean must be a sequence of numbers, not 0.5"),  # type: ignore[arg-type]
        (lambda: Resize("64"), "Resize: size must be an integer, 1 to 65535, or a sequence of integers, not '64'"),  # type: ignore[arg-type]
    ],
)
def test_an_argument_of_another_type_is_named(make: Any, message: str) -> None:
    with pytest.raises(TypeError, match=re.escape(message)):
        make()


def test_chains_that_cannot_work_are_refused_by_the_loader(tmp_path: Path) -> None:
    folder(tmp_path)
    with pytest.raises(ValueError, match="has no fixed size"):
        loaded(tmp_path, Resize(256))
    with pytest.raises(ValueError, match="must stand before Normalize"):
        loaded(tmp_path, Normalize([0.5], [0.5]), CenterCrop(8))
    with pytest.raises(ValueError, match="must stand before RandomErasing"):
        loaded(tmp_path, CenterCrop(8), RandomErasing(), ColorJitter(0.1))
    with pytest.raises(ValueError, match="need a floating-point dtype, not uint8"):
        loaded(tmp_path, CenterCrop(8), RandomErasing(value="random"))
    with pytest.raises(ValueError, match="value must lie between 0 and 255 where images are uint8"):
        loaded(tmp_path, CenterCrop(8), RandomErasing(value=-1))
    with pytest.raises(ValueError, match="value has 2 values, the image 3 channels"):
        loaded(tmp_path, CenterCrop(8), RandomErasing(value=(1, 2)))
    with pytest.raises(ValueError, match="has no fixed size"):
        loaded(tmp_path, CenterCrop(8), RandomRotation(5, expand=True))
