"""Transforms that are done to an image or not, or that make others of it, beside those of torchvision.

What torchvision gives depends on the processor where it rounds; `reference` has its formulas with all that correct
roundings may make of them. Where there is nothing to round, all are equal.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import reference
import stokehold as sh
from reference import Range, U

Image = pytest.importorskip("PIL.Image")

ROWS = 400
Pixels = npt.NDArray[np.uint8]


def picture(height: int, width: int, seed: int = 0) -> Pixels:
    """Ramps, an edge and noise."""
    y, x = np.mgrid[:height, :width]
    image = np.stack([x * 255 // width, y * 255 // height, (x * 3 + y * 5) % 256], -1).astype(float)
    image[height // 4 : height // 2, width // 3 : width // 2] = (230, 30, 60)
    image += np.random.default_rng(seed).normal(0, 8, image.shape)
    return image.clip(0, 200).astype(np.uint8)


PICTURE = picture(60, 75)


def made(image: npt.NDArray[Any], *steps: Any, rows: int = 1, **options: Any) -> npt.NDArray[Any]:
    """Returns what becomes of one image in each of so many samples."""
    with sh.Loader(
        sh.Arrays({"image": np.repeat(image[None], rows, 0)}),
        batch_size=rows,
        transforms={"image": list(steps)},
        num_workers=0,
        **options,
    ) as loader:
        (batch,) = list(loader)
        return np.array(batch["image"])


def functional() -> Any:
    pytest.importorskip("torch")
    return pytest.importorskip("torchvision.transforms.v2.functional")


def theirs(image: npt.NDArray[Any], change: Any) -> npt.NDArray[Any]:
    """Returns what a function of torchvision makes of an image."""
    torch = pytest.importorskip("torch")
    changed: npt.NDArray[Any] = change(torch.from_numpy(image.copy()).permute(2, 0, 1)).permute(1, 2, 0).numpy()
    return changed


@pytest.fixture(scope="module", autouse=True)
def _torch_has_its_threads() -> None:
    """Libraries start threads at their first work; no test is to seem to leave them behind."""
    theirs(picture(900, 900), lambda tensor: functional().gaussian_blur(tensor, [3, 3]))


# Colours.


def test_posterize_and_solarize_are_torchvisions() -> None:
    for bits in range(9):
        ours = made(PICTURE, sh.RandomPosterize(bits, p=1.0))[0]
        assert np.array_equal(ours, theirs(PICTURE, lambda tensor, to=bits: functional().posterize(tensor, to)))
    for least in (0, 1, 99.5, 128, 255):
        ours = made(PICTURE, sh.RandomSolarize(least, p=1.0))[0]
        assert np.array_equal(ours, theirs(PICTURE, lambda tensor, of=least: functional().solarize(tensor, of)))


def test_invert_and_equalize_are_torchvisions() -> None:
    for image in (PICTURE, PICTURE[..., :1].copy()):
        ours = made(image, sh.RandomInvert(p=1.0))[0]
        assert np.array_equal(ours, theirs(image, lambda tensor: functional().invert(tensor)))
        ours = made(image, sh.RandomEqualize(p=1.0))[0]
        assert np.array_equal(ours, theirs(image, lambda tensor: functional().equalize(tensor)))


def test_autocontrast_and_sharpness_are_torchvisions() -> None:
    correct = reference.stretched(Range.of(PICTURE))
    assert made(PICTURE, sh.RandomAutocontrast(p=1.0))[0] in correct
    assert theirs(PICTURE, lambda tensor: functional().autocontrast(tensor)) in correct
    for factor in (0.0, 0.5, 1.0, 2.0):
        correct = reference.sharpness(Range.of(PICTURE), factor)
        assert made(PICTURE, sh.RandomAdjustSharpness(factor, p=1.0))[0] in correct
        assert theirs(PICTURE, lambda tensor, by=factor: functional().adjust_sharpness(tensor, by)) in correct


COLOURS: list[tuple[Any, tuple[Any, ...]]] = [
    (sh.RandomInvert, ()),
    (sh.RandomPosterize, (2,)),
    (sh.RandomSolarize, (128,)),
    (sh.RandomAutocontrast, ()),
    (sh.RandomEqualize, ()),
    (sh.RandomAdjustSharpness, (3,)),
]


@pytest.mark.parametrize(("kind", "arguments"), COLOURS)
def test_an_image_is_changed_with_a_probability(kind: Any, arguments: tuple[Any, ...]) -> None:
    small = PICTURE[13:33, 20:45]
    changed = made(small, kind(*arguments, p=1.0))[0]
    assert not np.array_equal(changed, small)
    for step, share in ((kind(*arguments), 0.5), (kind(*arguments, 0.2), 0.2), (kind(*arguments, p=0.0), 0.0)):
        rows = made(small, step, rows=ROWS)
        count = sum(np.array_equal(row, changed) for row in rows)
        assert count + sum(np.array_equal(row, small) for row in rows) == ROWS
        # Five standard deviations.
        assert abs(count - ROWS * share) <= 5 * np.sqrt(ROWS * share * (1 - share))


@pytest.mark.parametrize(("kind", "arguments"), COLOURS)
def test_alpha_stays_as_it_is(kind: Any, arguments: tuple[Any, ...]) -> None:
    alpha = picture(60, 75, 1)[..., :1]
    ours = made(np.concatenate([PICTURE, alpha], -1), kind(*arguments, p=1.0))[0]
    assert np.array_equal(ours[..., :3], made(PICTURE, kind(*arguments, p=1.0))[0])
    assert np.array_equal(ours[..., 3:], alpha)


# Displacements.


SIZE = (70, 90)
ELASTIC = [
    ((40.0,), (3.0,), 0),
    ((60.0, 20.0), (2.0, 4.0), (10, 100, 200)),
    ((5.0, 30.0), (0.0,), None),
]


def displaced(
    alpha: tuple[float, ...], sigma: tuple[float, ...], **columns: Any
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.float64], Any]:
    """Returns where each pixel is taken from, (x, y), where that is inside, and the batch with other columns."""
    y, x = np.mgrid[: SIZE[0], : SIZE[1]].astype(np.float32)
    steps = columns.pop("transforms")
    # Places, and what is mixed of ones and of the zeros outside. A mixture of straight lines is one.
    shown = sh.ElasticTransform(alpha, sigma, "bilinear", fill=None)
    table = sh.Table({"places": np.stack([x, y, np.ones(SIZE, np.float32)], -1)[None], **columns})
    with sh.Loader(
        table, batch_size=1, transforms={"places": [shown], **steps}, draws={"places": "image"}, num_workers=0
    ) as loader:
        (batch,) = list(loader)
        places = np.array(batch["places"][0], np.float64)
        found = {name: np.array(batch[name][0]) for name in batch}
    return places[..., 2] > 1 - 1e-6, places[..., :2], found


def as_grid(places: npt.NDArray[np.float64], inside: npt.NDArray[np.bool_]) -> Any:
    """Returns the displacement that torchvision has for places."""
    torch = pytest.importorskip("torch")
    height, width = SIZE
    y, x = np.mgrid[:height, :width]
    moved = np.where(inside[..., None], (places - np.stack([x, y], -1)) * [2 / width, 2 / height], 0)
    return torch.from_numpy(moved[None].astype(np.float32))


PLACE_ERROR = 60 * U * max(SIZE)
"""Of a place that is read off an image of places, and used in an image: a mixture of four, whose weights have an error
of 5 roundings and their sum of 4 more, 24 of the largest; a place by way of -1 to 1 has 7 roundings, here and there, as
has what is computed of it in between."""


@pytest.mark.parametrize("interpolation", ["nearest", "bilinear"])
@pytest.mark.parametrize(("alpha", "sigma", "fill"), ELASTIC)
def test_elastic_is_torchvisions(alpha: Any, sigma: Any, fill: Any, interpolation: Any) -> None:
    image = picture(*SIZE)
    step = sh.ElasticTransform(alpha, sigma, interpolation, fill)
    inside, places, found = displaced(alpha, sigma, image=image[None], transforms={"image": [step]})
    assert inside.mean() > 0.7
    columns, rows = ((np.where(inside, places[..., at], 0), np.full(SIZE, PLACE_ERROR)) for at in (0, 1))
    if interpolation == "nearest":
        correct = reference._nearest_at(Range.of(image), columns, rows, fill)
    else:
        correct = reference._mixed_at(image, columns, rows, fill)
    mode = pytest.importorskip("torchvision.transforms.v2").InterpolationMode(interpolation)
    grid = as_grid(places, inside)
    expected = theirs(image, lambda tensor: functional().elastic(tensor, grid, mode, fill))
    for name, pixels in (("ours", found["image"]), ("torchvision's", expected)):
        beyond = np.maximum(correct.low - pixels, pixels - correct.high)[inside]
        assert beyond.max() <= 0, f"{name}: {beyond.max()} beyond at {(beyond > 0).mean():.4%}"
    # A tie of two pixels, or a mixture half-way between two values.
    several: Any = (correct.low < correct.high).any(-1)
    assert several[inside].mean() < 0.05
    assert not np.array_equal(found["image"], image)


def test_boxes_and_keypoints_follow_an_elastic_transform_as_torchvisions(tmp_path: Path) -> None:
    tensors = pytest.importorskip("torchvision.tv_tensors")
    torch = pytest.importorskip("torch")
    Image.fromarray(picture(*SIZE)).save(tmp_path / "image.png")
    random = np.random.default_rng(4)
    points = random.uniform(25, 45, (20, 2)).astype(np.float32)
    boxes = np.concatenate([points - 8.25, points + random.uniform(5, 15, (20, 2))], 1).astype(np.float32)
    alpha, sigma = (30.0, 60.0), (2.0, 3.0)
    inside, places, found = displaced(
        alpha,
        sigma,
        image=sh.Images([tmp_path / "image.png"]),
        boxes=sh.BoundingBoxes([boxes], "XYXY"),
        points=sh.KeyPoints([points]),
        transforms={"image": [sh.ElasticTransform(alpha, sigma), sh.CenterCrop(SIZE)]},
    )
    assert inside[14:64, 14:64].all()
    grid = as_grid(places, inside)
    given = tensors.BoundingBoxes(torch.from_numpy(boxes), format="XYXY", canvas_size=SIZE)
    expected = functional().elastic(given, grid)
    np.testing.assert_allclose(found["boxes"], expected.numpy(), rtol=0, atol=PLACE_ERROR)
    marked = tensors.KeyPoints(torch.from_numpy(points), canvas_size=SIZE)
    np.testing.assert_allclose(found["points"], functional().elastic(marked, grid).numpy(), rtol=0, atol=PLACE_ERROR)
    assert np.abs(found["points"] - points).max() > 0.5


def test_displacements_have_the_size_and_the_smoothness_of_torchvisions() -> None:
    """Noise of variance 1/3, smoothed by a kernel of 8 sigma + 1 taps along each axis."""
    height, width, sigma = 300, 400, 2.0
    y, x = np.mgrid[:height, :width].astype(np.float32)
    step = sh.ElasticTransform((100.0, 50.0), sigma)
    places = made(np.stack([x, y], -1), step)[0].astype(np.float64)[20:-20, 20:-20]
    moved = places - np.stack([x, y], -1)[20:-20, 20:-20]
    taps = 17
    weights = np.exp(-((np.linspace(-1, 1, taps) * (taps - 1) / (2 * np.sqrt(2)) / sigma) ** 2))
    weights /= weights.sum()
    along = np.correlate(weights, weights, "full")[taps - 1 :]
    for axis, alpha in ((0, 100.0), (1, 50.0)):
        # Half an edge is 1, so that a displacement of `alpha` edges^-1 is half of `alpha` in pixels.
        variance = (alpha / 2) ** 2 / 3 * along[0] ** 2
        of = moved[..., axis]
        # Values that lie 4 pi sigma^2 / 2 pixels apart count as one: 2 / n is the variance of a variance.
        deviation = np.sqrt(2 / (of.size / (2 * np.pi * sigma**2)))
        assert abs((of**2).mean() / variance - 1) < 5 * deviation
        for apart in (1, 2, 4):
            for products in (of[:, apart:] * of[:, :-apart], of[apart:] * of[:-apart]):
                assert abs(products.mean() / variance - along[apart] / along[0]) < 5 * deviation
    assert abs((moved[..., 0] * moved[..., 1]).mean()) < 0.05 * moved[..., 0].std() * moved[..., 1].std() + 0.05


def test_an_image_that_is_too_small_to_smooth_is_an_error_of_its_sample() -> None:
    with pytest.raises(
        sh.DecodeError, match=re.escape("sigma = 5 smooths over 41 pixels, and half of that must be less")
    ):
        made(picture(20, 30), sh.ElasticTransform())
    assert made(picture(21, 30), sh.ElasticTransform()).shape == (1, 21, 30, 3)


def test_two_arrays_are_not_displaced_by_accident_as_they_like() -> None:
    arrays = sh.Arrays({"image": picture(40, 40)[None], "mask": picture(40, 40)[None, ..., 0]})
    steps: Any = {"image": [sh.ElasticTransform()], "mask": [sh.ElasticTransform(interpolation="nearest")]}
    with pytest.raises(ValueError, match="field `mask` draws its ElasticTransform by itself"):
        sh.Loader(arrays, batch_size=1, transforms=steps, num_workers=0)


# Mixtures.


def mixtures(image: Pixels) -> list[Pixels]:
    """What each operation of `AugMix` makes of an image at the weakest magnitude: five of its nine change something."""
    stretched = reference.stretched(Range.of(image)).high.astype(np.uint8)
    return [
        image,
        image & 0xF0,
        np.where(image >= 255, 255 - image, image),
        stretched,
        reference.equalized(Range.of(image)).low.astype(np.uint8),
    ]


def share(mixed: Pixels, image: Pixels, other: Pixels) -> float | None:
    """Returns the weight with which an image is mixed with another one, if it is.

    A sum is cut off, so that it lies up to one below; stretched values are uncertain by one more, as are those on the
    brink of the next whole number.
    """
    apart = image.astype(float) - other
    weight = float(((mixed + 0.5 - other) * apart).sum() / (apart**2).sum()) if apart.any() else 1.0
    exact = weight * image + (1 - weight) * other
    return weight if -0.01 < weight < 1.01 and (np.abs(mixed + 0.5 - exact) <= 1.6).all() else None


def test_a_mixture_is_of_the_image_and_what_is_made_of_it() -> None:
    image = picture(20, 20)
    step = sh.AugMix(severity=1, mixture_width=1, chain_depth=1, all_ops=False)
    seen: dict[int, list[float]] = {}
    for row in made(image, step, rows=ROWS):
        shares = [share(row, image, other) for other in mixtures(image)]
        fits = {at: weight for at, weight in enumerate(shares) if weight is not None}
        assert fits
        for at, weight in fits.items():
            seen.setdefault(at, []).append(weight)
    # Of the image with itself, as five operations of nine make nothing of the weakest magnitude; and with each other.
    assert set(seen) >= {0, 1, 3, 4}
    # Beta(1, 1) is uniform: its mean is 1/2 and its variance 1/12; five deviations.
    weights = np.array(seen[4])
    weights = weights[weights < 0.97]
    assert abs(weights.mean() - 0.97 / 2) < 5 * np.sqrt(1 / 12 / len(weights))


def test_torchvisions_mixture_is_of_the_image_and_what_is_made_of_it() -> None:
    """Which checks `mixtures`, and so the formula of the other test."""
    v2 = pytest.importorskip("torchvision.transforms.v2")
    image = picture(20, 20)
    step = v2.AugMix(severity=1, mixture_width=1, chain_depth=1, all_ops=False)
    for _ in range(40):
        row = theirs(image, step)
        assert any(share(row, image, other) is not None for other in mixtures(image))


def test_mixtures_differ_and_stay_within_the_image_where_nothing_moves() -> None:
    rows = made(PICTURE, sh.AugMix(severity=10, mixture_width=4, alpha=0.4), rows=40)
    assert len({row.tobytes() for row in rows}) == 40
    # Weights that add up to one: what is the same in all that is mixed stays, but for being cut off.
    flat = np.full((16, 16, 3), 90, np.uint8)
    step = sh.AugMix(severity=1, mixture_width=7, chain_depth=4, all_ops=True)
    for row in made(flat, step, rows=40):
        assert row.min() >= 79
        assert row.max() <= 90


# Crops.


@pytest.mark.parametrize("size", [20, (31, 18), (60, 75)])
def test_crops_are_torchvisions(size: Any) -> None:
    sizes = list(size) if isinstance(size, tuple) else [size, size]
    torch = pytest.importorskip("torch")
    tensor = torch.from_numpy(PICTURE.copy()).permute(2, 0, 1)
    for step, crops in (
        (sh.FiveCrop(size), functional().five_crop(tensor, sizes)),
        (sh.TenCrop(size), functional().ten_crop(tensor, sizes)),
        (sh.TenCrop(size, vertical_flip=True), functional().ten_crop(tensor, sizes, True)),
    ):
        expected = np.stack([crop.permute(1, 2, 0).numpy() for crop in crops])
        assert np.array_equal(made(PICTURE, step)[0], expected)
        # The same of an image that is mirrored before, and with channels first.
        flipped = np.stack([crop.numpy() for crop in crops])
        mirrored = made(PICTURE[:, ::-1].copy(), sh.RandomHorizontalFlip(1.0), step, sh.ToLayout("CHW"))
        assert np.array_equal(mirrored[0], flipped)


def test_what_is_done_to_rows_is_done_to_all_crops() -> None:
    finish = [sh.Normalize([0.5, 0.4, 0.3], [0.2, 0.3, 0.4]), sh.ToLayout("CHW")]
    ten = made(PICTURE, sh.TenCrop(24), *finish)[0]
    assert ten.shape == (10, 3, 24, 24)
    assert ten.dtype == np.float32
    for crop, pixels in zip(ten, made(PICTURE, sh.TenCrop(24))[0], strict=True):
        assert np.array_equal(crop, made(pixels, *finish)[0])
    erased = made(PICTURE + 1, sh.FiveCrop(24), sh.RandomErasing(1.0))[0]
    holes = (erased == 0).all(-1)
    assert holes[0].any()
    assert (holes == holes[0]).all()


def test_crops_of_files_are_of_what_is_resized(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    for at in range(3):
        Image.fromarray(picture(90 + 7 * at, 120, at)).save(tmp_path / "a" / f"{at}.png")
    source = sh.ImageFolder(tmp_path)

    def batch(*steps: Any, workers: int = 0) -> npt.NDArray[Any]:
        with sh.Loader(source, batch_size=3, transforms={"image": list(steps)}, num_workers=workers) as loader:
            (only,) = list(loader)
            return np.array(only["image"])

    whole = batch(sh.Resize((64, 80)))
    crops = batch(sh.Resize((64, 80)), sh.FiveCrop((40, 32)), workers=2)
    assert crops.shape == (3, 5, 40, 32, 3)
    for image, five in zip(whole, crops, strict=True):
        corners = [image[:40, :32], image[:40, -32:], image[-40:, :32], image[-40:, -32:], image[12:52, 24:56]]
        assert np.array_equal(five, np.stack(corners))
    # Without a size that is fixed before.
    plain = batch(sh.FiveCrop(80))
    for at, five in enumerate(plain):
        pixels = picture(90 + 7 * at, 120, at)
        assert np.array_equal(five[0], pixels[:80, :80])
        assert np.array_equal(five[3], pixels[-80:, -80:])
    with pytest.raises(sh.DecodeError, match=re.escape("crops of 100x100 do not fit into 120x90 pixels")):
        batch(sh.FiveCrop(100))


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: sh.FiveCrop(0), "FiveCrop: size must be 1 to 65535, or a sequence of integers, not 0"),
        (lambda: made(PICTURE, sh.FiveCrop(61)), "FiveCrop: crops of 61x61 do not fit into 75x60 pixels"),
        (lambda: made(PICTURE, sh.FiveCrop(20), sh.RandomHorizontalFlip()), "must stand before the crops"),
        (lambda: made(PICTURE, sh.FiveCrop(20), np.mean), "a function gets one image: call it before the crops"),
        (lambda: sh.RandomPosterize(9), "RandomPosterize: bits = 9 must lie between 0 and 8"),
        (lambda: sh.RandomSolarize(256), "RandomSolarize: threshold = 256 must lie between 0 and 255"),
        (lambda: sh.RandomSolarize(-1), "RandomSolarize: threshold = -1 must lie between 0 and 255"),
        (lambda: sh.RandomAdjustSharpness(-1), "RandomAdjustSharpness: sharpness_factor = -1 must not be negative"),
        (lambda: sh.RandomInvert(2), "RandomInvert: p = 2 must lie between 0 and 1"),
        (lambda: sh.AugMix(severity=11), "AugMix: severity = 11 must lie between 1 and 10"),
        (lambda: sh.AugMix(mixture_width=0), "AugMix: mixture_width = 0 must lie between 1 and 100"),
        (lambda: sh.AugMix(chain_depth=101), "AugMix: chain_depth = 101 must be at most 100"),
        (lambda: sh.AugMix(alpha=0), "AugMix: alpha = 0 must be positive and finite"),
        (lambda: sh.ElasticTransform(sigma=(1, 2, 3)), "ElasticTransform: sigma must be one number or two, not 3"),
        (lambda: sh.ElasticTransform(sigma=-1), "ElasticTransform: sigma = -1 must lie between 0 and"),
        (lambda: sh.ElasticTransform(sigma=(0, 1)), "sigma must be positive in both directions, or 0 in both"),
        (lambda: sh.ElasticTransform(interpolation="bicubic"), "interpolation must be nearest or bilinear"),
        (
            lambda: made(PICTURE.astype(np.uint16), sh.RandomInvert()),
            "RandomInvert: takes uint8 images, not uint16 of 3 channels",
        ),
    ],
)
def test_what_cannot_work_is_an_error_at_once(make: Any, reason: str) -> None:
    with pytest.raises(ValueError, match=re.escape(reason)):
        make()


@pytest.mark.parametrize("step", [sh.FiveCrop(8), sh.AugMix()])
def test_no_mask_follows_what_has_no_one_geometry(tmp_path: Path, step: sh.Transform) -> None:
    Image.fromarray(PICTURE).save(tmp_path / "image.png")
    Image.fromarray(PICTURE[..., 0]).save(tmp_path / "mask.png")
    table = sh.Table({"image": sh.Images([tmp_path / "image.png"]), "mask": sh.Masks([tmp_path / "mask.png"])})
    for steps in ([sh.CenterCrop(9), step], [sh.CenterCrop(9), sh.RandomChoice([step])]):
        with pytest.raises(ValueError, match="which is for images alone"):
            sh.Loader(table, batch_size=1, transforms={"image": steps})
