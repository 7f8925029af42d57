"""Transforms that are made of others: what they choose, what they draw, and what follows them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import stokehold as sh

Image = pytest.importorskip("PIL.Image")

NOISE = np.random.default_rng(3).integers(0, 256, (24, 30, 3), np.uint8)
ROWS = 400
FLIP, INVERT = sh.RandomHorizontalFlip(1.0), sh.RandomInvert(1.0)


def made(*steps: Any, rows: int = ROWS, **options: Any) -> npt.NDArray[Any]:
    """Returns what becomes of one image in each of so many samples."""
    transforms = options.pop("transforms", list(steps))
    with sh.Loader(
        sh.Arrays({"image": np.repeat(NOISE[None], rows, 0)}),
        batch_size=rows,
        transforms={"image": transforms},
        **{"num_workers": 0} | options,
    ) as loader:
        (batch,) = list(loader)
        return np.array(batch["image"])


def which(rows: npt.NDArray[Any], *images: npt.NDArray[Any]) -> list[int]:
    """Returns how many rows are each of the images; every row is one."""
    counts = [sum(np.array_equal(row, image) for row in rows) for image in images]
    assert sum(counts) == len(rows)
    return counts


def assert_share(count: int, share: float) -> None:
    """Within five standard deviations of the binomial distribution."""
    assert abs(count - ROWS * share) < 5 * np.sqrt(ROWS * share * (1 - share)), count


RANDOM = [
    sh.RandomResizedCrop(16),
    sh.ColorJitter(0.4, 0.4),
    sh.RandomHorizontalFlip(),
    sh.Normalize([0.5], [0.5]),
]


def test_a_composition_is_the_list_of_what_is_in_it() -> None:
    plain = made(*RANDOM, rows=8)
    assert np.array_equal(made(sh.Compose(RANDOM), rows=8), plain)
    assert np.array_equal(made(transforms=sh.Compose(RANDOM), rows=8), plain)
    nested = [sh.Compose([RANDOM[0], sh.Compose(RANDOM[1:3])]), sh.Compose([]), RANDOM[3]]
    assert np.array_equal(made(*nested, rows=8), plain)


def test_functions_stand_in_a_composition() -> None:
    def darker(image: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        return image // 2

    def brighter(image: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        return image + 1

    found = made(sh.Compose([darker, FLIP, sh.Compose([brighter])]), sh.Call(darker), rows=2)
    assert np.array_equal(found[0], (NOISE[:, ::-1] // 2 + 1) // 2)
    with pytest.raises(RuntimeError) as caught:
        made(FLIP, sh.Compose([FLIP, sh.Compose([sh.Call(bad, dtype="uint8", shape=(24, 30, 3))])]), rows=2)
    assert "field `image`: transform 1.1.0: `bad`" in "".join(caught.value.__notes__)
    with pytest.raises(ValueError, match=re.escape("transform 0.1: CenterCrop: must stand before Normalize")):
        made(sh.Compose([sh.Normalize([0.5], [0.5]), sh.CenterCrop(3)]))


def bad(image: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    raise RuntimeError(image.shape)


def test_all_are_applied_or_none() -> None:
    apply = sh.RandomApply([INVERT, FLIP], p=0.3)
    _, changed = which(made(apply), NOISE, 255 - NOISE[:, ::-1])
    assert_share(changed, 0.3)
    assert which(made(sh.RandomApply([INVERT], p=0.0), rows=9), NOISE) == [9]
    assert which(made(sh.RandomApply([INVERT], p=1.0), rows=9), 255 - NOISE) == [9]


def test_one_is_chosen_by_its_weight() -> None:
    both = sh.Compose([INVERT, FLIP])
    images = (255 - NOISE, NOISE[:, ::-1], 255 - NOISE[:, ::-1])
    counts = which(made(sh.RandomChoice([INVERT, FLIP, both], p=[1, 0, 3])), *images)
    assert counts[1] == 0
    assert_share(counts[2], 0.75)
    for count in which(made(sh.RandomChoice([INVERT, FLIP, both])), *images):
        assert_share(count, 1 / 3)


def test_any_order_is_drawn() -> None:
    solarize = sh.RandomSolarize(100, 1.0)
    inverted = 255 - NOISE

    def solarized(image: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        return np.where(image >= 100, 255 - image, image)

    first, _ = which(made(sh.RandomOrder([INVERT, solarize])), solarized(inverted), 255 - solarized(NOISE))
    assert_share(first, 0.5)


PARTS = [sh.RandomHorizontalFlip(), sh.RandomInvert()]


@pytest.mark.parametrize(
    "beside",
    [
        sh.RandomApply(PARTS, p=0.0),
        sh.RandomApply([*PARTS, *PARTS], p=0.0),
        sh.RandomApply([sh.RandomChoice([sh.RandomOrder(PARTS)])], p=0.0),
    ],
)
def test_what_is_inside_shifts_no_draws_beside_it(beside: sh.Transform) -> None:
    alone = made(*PARTS, rows=50)
    assert np.array_equal(made(beside, *PARTS, rows=50), alone)
    assert np.array_equal(made(PARTS[0], beside, PARTS[1], rows=50), alone)


def test_parts_draw_for_themselves() -> None:
    mirrored = NOISE[:, ::-1]
    apply = sh.RandomApply([sh.RandomHorizontalFlip(), sh.RandomHorizontalFlip()], p=1.0)
    same, _ = which(made(apply), NOISE, mirrored)
    assert_share(same, 0.5)
    # Neither by the draws of the same transform beside it, nor with those of the other part.
    rows = made(sh.RandomApply([sh.RandomHorizontalFlip()], p=1.0), sh.RandomHorizontalFlip())
    assert_share(which(rows, NOISE, mirrored)[0], 0.5)


def test_choices_are_a_function_of_seed_and_epoch_on_any_worker() -> None:
    steps = [sh.RandomApply(PARTS), sh.RandomChoice([INVERT, sh.RandomSolarize(90)]), sh.RandomOrder(PARTS)]
    first = made(*steps, rows=60, seed=1)
    assert np.array_equal(made(*steps, rows=60, seed=1, num_workers=2), first)
    assert not np.array_equal(made(*steps, rows=60, seed=2), first)


MOVES: dict[str, sh.Transform] = {
    "apply": sh.RandomApply([sh.RandomHorizontalFlip(), sh.ColorJitter(0.3), sh.RandomRotation(40)], p=0.7),
    "choice": sh.RandomChoice([sh.RandomAffine(20), sh.RandomInvert(), sh.RandomVerticalFlip(1.0)]),
    "order": sh.RandomOrder([sh.Pad(3), sh.RandomAffine(0, (0.2, 0.2)), sh.RandomGrayscale(1.0)]),
    "nested": sh.RandomApply(
        [sh.RandomChoice([sh.Compose([sh.RandomCrop(20), sh.Resize((24, 30), "nearest")]), FLIP])], p=0.8
    ),
    "elastic": sh.RandomApply([sh.ElasticTransform(80.0, 1.5, "nearest")], p=0.7),
}


@pytest.fixture(scope="module")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Whose masks are their red channel."""
    root = tmp_path_factory.mktemp("shapes")
    y, x = np.mgrid[:24, :30]
    for at in range(24):
        grey = (((x + at) // 6 + y // 5) % 2 * 255).astype(np.uint8)
        Image.fromarray(grey).save(root / f"mask{at}.png")
        Image.fromarray(np.stack([grey] * 3, -1)).save(root / f"{at}.png")
    return root


@pytest.mark.parametrize("name", list(MOVES))
def test_masks_take_what_is_drawn_for_their_image(shapes: Path, name: str) -> None:
    table = sh.Table(
        {
            "image": sh.Images([shapes / f"{at}.png" for at in range(24)]),
            "mask": sh.Masks([shapes / f"mask{at}.png" for at in range(24)]),
        }
    )
    with sh.Loader(
        table, batch_size=24, transforms={"image": [MOVES[name], sh.CenterCrop((24, 30))]}, num_workers=0
    ) as loader:
        (batch,) = list(loader)
        images, masks = np.array(batch["image"]), np.array(batch["mask"])
    plain = [np.asarray(Image.open(shapes / f"mask{at}.png")) for at in range(24)]
    moved = sum(not np.array_equal(mask, before) for mask, before in zip(masks, plain, strict=True))
    assert moved > 5
    for image, mask in zip(images, masks, strict=True):
        bright = image[..., 0] > 100
        # What is uncovered is black in both; black and white stay on their sides, but for negatives.
        assert np.array_equal(bright, mask > 100) or np.array_equal(~bright, mask > 100)


def test_boxes_and_keypoints_take_what_is_drawn_for_their_image(shapes: Path) -> None:
    table = sh.Table(
        {
            "image": sh.Images([shapes / f"{at}.png" for at in range(24)]),
            "boxes": sh.BoundingBoxes([np.array([[2, 3, 9, 8]], np.float32)] * 24, "XYXY"),
            "points": sh.KeyPoints([np.array([[2, 3]], np.float32)] * 24),
        }
    )
    step = sh.RandomApply([FLIP, sh.ColorJitter(0.2)])
    with sh.Loader(
        table, batch_size=24, transforms={"image": [step, sh.CenterCrop((24, 30))]}, num_workers=0
    ) as loader:
        (batch,) = list(loader)
        found = {
            (tuple(boxes[0].tolist()), tuple(points[0].tolist()))
            for boxes, points in zip(batch["boxes"], batch["points"], strict=True)
        }
    assert found == {((2, 3, 9, 8), (2, 3)), ((21, 3, 28, 8), (27, 3))}


@pytest.mark.parametrize(
    ("step", "reason"),
    [
        (sh.RandomApply([sh.CenterCrop(8)]), "no fixed size, since RandomApply may give several"),
        (sh.RandomChoice([sh.CenterCrop(8), sh.CenterCrop(9)]), "no fixed size, since RandomChoice may give several"),
        (sh.RandomOrder([sh.Resize((8, 9)), sh.CenterCrop(8)]), "no fixed size, since RandomOrder may give several"),
        (
            sh.RandomApply([FLIP, sh.Grayscale()]),
            (
                "transform 0: RandomApply: RandomHorizontalFlip, Grayscale make uint8 images of 1 channels and 30x24 "
                "pixels; what is left out is uint8 images of 3 channels and 30x24 pixels: they must be alike"
            ),
        ),
        (
            sh.RandomChoice([FLIP, sh.Grayscale()]),
            (
                "RandomChoice: RandomHorizontalFlip makes uint8 images of 3 channels and 30x24 pixels, and Grayscale "
                "uint8 images of 1 channels"
            ),
        ),
        (
            sh.RandomOrder([sh.Grayscale(1), sh.Grayscale(3)]),
            "makes uint8 images of 3 channels and 30x24 pixels in one order",
        ),
        (sh.RandomApply([sh.FiveCrop(8)]), "RandomApply: FiveCrop make 5 crops of uint8 images"),
        (sh.RandomChoice([sh.FiveCrop(8), sh.TenCrop(8)]), "and TenCrop 10 crops of uint8 images"),
        (sh.RandomOrder([sh.FiveCrop(8), FLIP]), "RandomHorizontalFlip: must stand before the crops"),
        (sh.RandomOrder([sh.Pad(1)] * 13), "takes at most 12 transforms where one changes"),
    ],
)
def test_parts_that_make_different_images_are_named(step: sh.Transform, reason: str) -> None:
    with pytest.raises(ValueError, match=re.escape(reason)):
        made(step)


def test_what_follows_fixes_a_size_that_is_drawn() -> None:
    steps = [
        sh.RandomApply([sh.RandomCrop(20)]),
        sh.RandomChoice([sh.Resize((8, 9)), sh.Pad(4)]),
        sh.RandomOrder([sh.Pad(2), sh.Resize(12)]),
    ]
    assert made(*steps, sh.Resize((10, 11)), rows=20).shape == (20, 10, 11, 3)
    # The same size in any order, and by any choice.
    assert made(sh.RandomOrder([sh.CenterCrop(8), FLIP]), rows=2).shape == (2, 8, 8, 3)
    assert made(sh.RandomChoice([sh.CenterCrop(8), sh.RandomResizedCrop(8)]), rows=2).shape == (2, 8, 8, 3)
    assert made(sh.RandomOrder([FLIP, INVERT] * 8), rows=2).shape == (2, 24, 30, 3)


@pytest.mark.parametrize("kind", [sh.RandomApply, sh.RandomChoice, sh.RandomOrder])
@pytest.mark.parametrize(
    ("part", "reason"),
    [
        (sh.Normalize([0.5], [0.5]), "transforms[0.1]: Normalize: is done to the row that an image becomes"),
        (sh.DecodeImage(), "transforms[0.1]: DecodeImage: goes with an encoded image"),
        (sh.ClampKeyPoints(), "transforms[0.1]: ClampKeyPoints: goes with boxes or keypoints"),
        (sh.Call(bad), "transforms[0.1]: Call: is a function, which stands by itself"),
    ],
)
def test_what_takes_no_pixels_is_no_part(kind: Any, part: sh.Transform, reason: str) -> None:
    with pytest.raises(ValueError, match=re.escape(f"{kind.__name__}: {reason}")):
        kind([sh.Compose([FLIP, part])])


WRONG: dict[str, Any] = {
    "no list": FLIP,
    "function": [bad],
    "batches": [sh.MixUp()],
    "class": [sh.CenterCrop],
    "both": [FLIP, sh.MixUp()],
}


@pytest.mark.parametrize(
    ("make", "error", "reason"),
    [
        (lambda: sh.RandomApply([]), ValueError, "RandomApply: transforms must not be empty"),
        (lambda: sh.RandomApply([FLIP], p=1.5), ValueError, "RandomApply: p = 1.5 must lie between 0 and 1"),
        (lambda: sh.RandomChoice([FLIP], p=[1, 2]), ValueError, "p has 2 probabilities for 1 transforms"),
        (lambda: sh.RandomChoice([FLIP], p=[0]), ValueError, "not all zero"),
        (
            lambda: sh.RandomApply(WRONG["no list"]),
            TypeError,
            "RandomApply: transforms must be a list of stokehold's transforms",
        ),
        (lambda: sh.RandomOrder(WRONG["function"]), TypeError, "a function of your own stands by itself"),
        (
            lambda: sh.Compose(WRONG["batches"]),
            TypeError,
            "Compose: transforms must be a list of stokehold's transforms",
        ),
        (
            lambda: sh.Compose(WRONG["class"]),
            TypeError,
            "Compose: transforms must be a list of stokehold's transforms",
        ),
        (lambda: sh.RandomChoice(WRONG["both"]), TypeError, "RandomChoice: transforms must be a list of MixUp"),
        (lambda: sh.RandomApply([sh.RandomChoice([sh.MixUp()])]), TypeError, "RandomApply: transforms must be"),
        (lambda: made(sh.RandomChoice([sh.MixUp()])), TypeError, "transforms['image'][0] must be a transform or a"),
        (
            lambda: made(batch_transforms=[sh.RandomChoice([FLIP])]),
            TypeError,
            "batch_transforms[0] must be a transform of batches",
        ),
    ],
)
def test_a_bad_argument_is_an_error_at_once(make: Any, error: type[Exception], reason: str) -> None:
    with pytest.raises(error, match=re.escape(reason)):
        make()


def test_the_part_is_named_that_cannot_take_an_image() -> None:
    with pytest.raises(sh.DecodeError, match=r"RandomCrop: .*24"):
        made(sh.RandomApply([sh.RandomChoice([sh.RandomCrop(60)])], p=1.0), sh.Resize((8, 8)), rows=1)


def test_a_fill_by_field_stands_in_another_transform(shapes: Path) -> None:
    table = sh.Table({"image": sh.Images([shapes / "1.png"]), "mask": sh.Masks([shapes / "mask1.png"])})
    pad = sh.Pad(4, fill={"image": 9, "mask": 200})
    for step in (sh.RandomApply([pad], p=1.0), sh.RandomChoice([sh.Compose([pad])])):
        with sh.Loader(
            table, batch_size=1, transforms={"image": [step, sh.CenterCrop((32, 38))]}, num_workers=0
        ) as loader:
            (batch,) = list(loader)
            image, mask = np.array(batch["image"][0]), np.array(batch["mask"][0])
        border = np.ones((32, 38), bool)
        border[4:-4, 4:-4] = False
        assert (image[border] == 9).all()
        assert (mask[border] == 200).all()


def test_a_crop_by_boxes_stands_in_another_transform(shapes: Path) -> None:
    boxes = np.array([[3, 3, 12, 12]], np.float32)
    table = sh.Table({"image": sh.Images([shapes / "1.png"] * 40), "boxes": sh.BoundingBoxes([boxes] * 40, "XYXY")})
    step = sh.RandomApply([sh.RandomIoUCrop(sampler_options=(0.5,))], p=0.5)
    with sh.Loader(
        table, batch_size=40, transforms={"image": [step]}, num_workers=0, capacity={"image": 720}
    ) as loader:
        (batch,) = list(loader)
        sizes = {image.shape for image in batch["image"]}
        assert (24, 30, 3) in sizes
        assert len(sizes) > 5
        for image, (box,) in zip(batch["image"], batch["boxes"], strict=True):
            assert (box >= 0).all()
            assert box[2] <= image.shape[1]
            assert box[3] <= image.shape[0]


def test_a_composition_makes_a_view() -> None:
    with sh.Loader(
        sh.Arrays({"image": np.repeat(NOISE[None], 9, 0)}),
        batch_size=9,
        transforms={"one": sh.View("image", sh.Compose(PARTS)), "two": sh.View("image", PARTS)},
        draws={"two": "one"},
        num_workers=0,
    ) as loader:
        (batch,) = list(loader)
        assert np.array_equal(batch["one"], batch["two"])
        assert len({row.tobytes() for row in batch["one"]}) > 1
