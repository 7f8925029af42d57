"""Transforms for detection beside torchvision's v2, which draw the same numbers here."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import stokehold as sh
from keyed import Draws, operation
from support import values

Image = pytest.importorskip("PIL.Image")

ROWS, EPOCHS, SEED = 10, 3, 5
ROOM = 800 * 800
TOLERANCE = 1e-3
"""In pixels: ours and torchvision's round each step to ``float32`` in an order of their own, and there are at most
three here, on numbers below 1024, each within 1024 * 2**-23 of the true one: less than 4e-4 for either."""


@pytest.fixture(scope="module")
def v2(torch: Any) -> Any:
    """torchvision's transforms."""
    assert torch
    return pytest.importorskip("torchvision.transforms.v2")


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> sh.Table:
    """Noise of different sizes; boxes of which each lies in its image, and with the last one none."""
    root, draws = tmp_path_factory.mktemp("detection"), np.random.default_rng(2)
    images, masks, boxes = [], [], []
    for at in range(ROWS):
        height, width = 60 + 7 * at, 110 - 4 * at
        images.append(root / f"{at}.png")
        Image.fromarray(draws.integers(0, 256, (height, width, 3), np.uint8)).save(images[-1])
        masks.append(root / f"{at}.mask.png")
        Image.fromarray(draws.integers(0, 9, (height, width), np.uint8)).save(masks[-1])
        corners = np.sort(draws.uniform(0, 1, (5 if at < ROWS - 1 else 0, 2, 2)), axis=1) * [width, height]
        boxes.append(corners.reshape(-1, 4).astype(np.float32))
    return sh.Table(
        {
            "image": sh.Images(images),
            "mask": sh.Masks(masks),
            "boxes": sh.BoundingBoxes(boxes, "XYXY"),
            "labels": sh.Lists([np.arange(len(row)) for row in boxes], np.int64),
            "points": sh.KeyPoints([row.reshape(-1, 2, 2) for row in boxes]),
        }
    )


def loader(source: sh.Table, image: list[sh.Transform], **options: Any) -> sh.Loader:
    options.setdefault("transforms", {})["image"] = image
    given: dict[str, Any] = {"batch_size": 4, "num_workers": 0, "seed": SEED, "capacity": {"image": ROOM, "mask": ROOM}}
    return sh.Loader(source, **given | options)


def samples(found: sh.Loader) -> dict[tuple[int, int], dict[str, npt.NDArray[Any]]]:
    """Returns each sample of some epochs, by epoch and index."""
    rows = {}
    for epoch in range(EPOCHS):
        found.set_epoch(epoch)
        for batch in found:
            for row, index in enumerate(batch.indices):
                rows[epoch, int(index)] = {name: np.array(batch[name][row]) for name in batch}
    return rows


def as_given(torch: Any, sample: dict[str, npt.NDArray[Any]]) -> dict[str, Any]:
    """Returns a sample as torchvision takes it."""
    tv = pytest.importorskip("torchvision.tv_tensors")
    size = sample["image"].shape[:2]
    given = {
        "image": tv.Image(torch.from_numpy(sample["image"]).permute(2, 0, 1)),
        "mask": tv.Mask(torch.from_numpy(sample["mask"])),
        "boxes": tv.BoundingBoxes(torch.from_numpy(sample["boxes"]), format="XYXY", canvas_size=size),
        "labels": torch.from_numpy(sample["labels"]),
    }
    if hasattr(tv, "KeyPoints"):
        given["points"] = tv.KeyPoints(torch.from_numpy(sample["points"]), canvas_size=size)
    return given


CASES: dict[str, tuple[sh.Transform, Callable[[Any], Any]]] = {
    "ScaleJitter": (sh.ScaleJitter((90, 70), (0.3, 1.6)), lambda v2: v2.ScaleJitter((90, 70), (0.3, 1.6))),
    "RandomShortestSize": (
        sh.RandomShortestSize([30, 45, 64, 80], max_size=100),
        lambda v2: v2.RandomShortestSize([30, 45, 64, 80], max_size=100),
    ),
    "RandomZoomOut": (
        sh.RandomZoomOut({"image": [9, 8, 7], "mask": 255}, (1.0, 2.5), p=0.7),
        lambda v2: v2.RandomZoomOut(fill(9, 8, 7), (1.0, 2.5), p=0.7),
    ),
    "RandomIoUCrop": (sh.RandomIoUCrop(), lambda v2: v2.RandomIoUCrop()),
    "RandomIoUCrop often": (
        sh.RandomIoUCrop(0.1, 0.9, 0.3, 3.0, [0.05, 0.4], 60),
        lambda v2: v2.RandomIoUCrop(0.1, 0.9, 0.3, 3.0, [0.05, 0.4], 60),
    ),
}


def fill(*image: float) -> dict[Any, Any]:
    """A fill by type, as torchvision has it."""
    tv = pytest.importorskip("torchvision.tv_tensors")
    return {tv.Image: list(image), tv.Mask: 255, "others": 0}


@pytest.mark.parametrize("name", CASES)
def test_draws_and_places_are_torchvisions(
    name: str, source: sh.Table, torch: Any, v2: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, theirs = CASES[name][0], CASES[name][1](v2)
    before, after = samples(loader(source, [])), samples(loader(source, [ours]))
    op, changed, sizes = operation("image", type(ours).__name__), 0, set()
    for (epoch, index), sample in before.items():
        found = after[epoch, index]
        if not len(sample["boxes"]) and name == "RandomIoUCrop often":
            # Theirs never ends.
            np.testing.assert_array_equal(found["image"], sample["image"])
            continue
        with monkeypatch.context() as patched:
            Draws(SEED, epoch, index, op).into_torch(torch, patched)
            expected = theirs(as_given(torch, sample))
        assert found["image"].shape[:2] == expected["image"].shape[1:], (epoch, index)
        assert found["mask"].shape == expected["mask"].shape
        np.testing.assert_allclose(found["boxes"], expected["boxes"].reshape(-1, 4), rtol=0, atol=TOLERANCE)
        np.testing.assert_array_equal(found["labels"], sample["labels"])
        if "points" in expected and name != "RandomIoUCrop":
            np.testing.assert_allclose(found["points"], expected["points"], rtol=0, atol=TOLERANCE)
        if name not in {"ScaleJitter", "RandomShortestSize"}:
            # Crops and borders move pixels and make none.
            np.testing.assert_array_equal(found["image"], expected["image"].permute(1, 2, 0))
            np.testing.assert_array_equal(found["mask"], expected["mask"])
        changed += found["image"].shape != sample["image"].shape
        sizes.add(found["image"].shape)
    assert changed > 10
    assert len(sizes) > 10 or name == "RandomShortestSize"


@pytest.mark.parametrize("name", ["ScaleJitter", "RandomShortestSize"])
def test_pixels_are_those_of_a_resize(name: str, source: sh.Table) -> None:
    """Of the size that was drawn, which the test above compares."""
    (found,) = (samples(loader(source, [CASES[name][0]])),)
    for (epoch, index), sample in found.items():
        if epoch:
            continue
        size = sample["image"].shape[:2]
        one = sh.Loader(
            source.select([index]), transforms={"image": [sh.Resize(size)]}, num_workers=0, capacity={"labels": 9}
        )
        (batch,) = one
        np.testing.assert_array_equal(batch["image"][0], sample["image"])
        np.testing.assert_array_equal(batch["mask"][0], sample["mask"])


def test_boxes_that_drop_out_take_their_labels_along(
    source: sh.Table, torch: Any, v2: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    sanitize = [sh.SanitizeBoundingBoxes(labels=["labels", "points"])]
    chain: list[sh.Transform] = [sh.RandomIoUCrop(sampler_options=[0.1, 0.3]), sh.RandomHorizontalFlip(1.0)]
    after = samples(loader(source, chain, transforms={"boxes": sanitize}))
    theirs = v2.RandomIoUCrop(sampler_options=[0.1, 0.3])
    rest = v2.Compose([v2.RandomHorizontalFlip(1.0), v2.SanitizeBoundingBoxes()])
    dropped = 0
    for (epoch, index), sample in samples(loader(source, [])).items():
        if not len(sample["boxes"]):
            continue
        with monkeypatch.context() as patched:
            Draws(SEED, epoch, index, operation("image", "RandomIoUCrop")).into_torch(torch, patched)
            cut = theirs(as_given(torch, sample))
        expected = rest({name: cut[name] for name in ("image", "boxes", "labels")})
        found = after[epoch, index]
        np.testing.assert_array_equal(found["labels"], expected["labels"])
        np.testing.assert_allclose(found["boxes"], expected["boxes"], rtol=0, atol=TOLERANCE)
        assert len(found["points"]) == len(found["boxes"])
        dropped += len(sample["labels"]) - len(found["labels"])
    assert dropped > 20


def test_boxes_are_looked_at_where_they_lie_by_then(source: sh.Table) -> None:
    """Behind other geometry, a crop of the left third still holds the centre of a box."""
    crop = sh.RandomIoUCrop(0.2, 0.5, sampler_options=[0.01])
    chain: list[sh.Transform] = [sh.Pad([40, 0, 0, 0]), sh.RandomHorizontalFlip(1.0), sh.Resize(50), crop]
    for sample in samples(loader(source, chain)).values():
        assert not len(sample["boxes"]) or sample["boxes"].any()
        assert sample["mask"].shape == sample["image"].shape[:2]


def test_bytes_do_not_depend_on_workers(source: sh.Table) -> None:
    chain: list[sh.Transform] = [
        sh.RandomZoomOut(p=0.5),
        sh.RandomIoUCrop(),
        sh.RandomShortestSize([30, 40]),
        sh.RandomCrop(32, pad_if_needed=True),
    ]
    options: dict[str, Any] = {"capacity": {}, "shuffle": True}
    expected = values(loader(source, chain, **options), 2)
    for workers in (1, 2):
        with loader(source, chain, num_workers=workers, **options) as found:
            assert values(found, 2) == expected


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (lambda by: sh.Pad(5, fill=by), lambda v2, by: v2.Pad(5, fill=by)),
        (lambda by: sh.RandomRotation((30, 30), fill=by), lambda v2, by: v2.RandomRotation((30, 30), fill=by)),
    ],
)
def test_a_mask_has_a_fill_of_its_own(ours: Any, theirs: Any, source: sh.Table, torch: Any, v2: Any) -> None:
    before = samples(loader(source, []))
    after = samples(loader(source, [ours({"image": [9, 8, 7], "mask": 255})]))
    for at, sample in before.items():
        expected = theirs(v2, fill(9, 8, 7))(as_given(torch, sample))
        np.testing.assert_array_equal(after[at]["mask"], expected["mask"])
        np.testing.assert_array_equal(after[at]["image"], expected["image"].permute(1, 2, 0))
    # What is not named has the default.
    for given, image, mask in (({"mask": 255}, 0, 255), ({"image": 9}, 9, 0), (9, 9, 9)):
        corner = samples(loader(source, [ours(given)]))[0, 0]
        assert (corner["image"][0, 0] == image).all()
        assert corner["mask"][0, 0] == mask


def test_a_fill_by_field_changes_no_draws(source: sh.Table) -> None:
    crop: dict[str, Any] = {"padding": 9, "pad_if_needed": True}
    plain = samples(loader(source, [sh.RandomCrop(50, **crop)], capacity={}))
    by_field = samples(loader(source, [sh.RandomCrop(50, fill={"image": 0, "mask": 0}, **crop)], capacity={}))
    for at, sample in plain.items():
        np.testing.assert_array_equal(sample["image"], by_field[at]["image"])
        np.testing.assert_array_equal(sample["mask"], by_field[at]["mask"])


def test_a_fill_by_field_holds_in_what_is_made_of_others(source: sh.Table) -> None:
    pad = sh.Pad(5, fill={"image": [9, 8, 7], "mask": 255})
    alone = samples(loader(source, [pad]))
    for whole in (
        sh.Compose([pad]),
        sh.RandomApply([sh.Compose([pad])], p=1.0),
        sh.RandomChoice([sh.RandomApply([pad], p=1.0), pad]),
        sh.RandomOrder([pad]),
    ):
        for at, sample in samples(loader(source, [whole])).items():
            np.testing.assert_array_equal(sample["image"], alone[at]["image"])
            np.testing.assert_array_equal(sample["mask"], alone[at]["mask"])
    with pytest.raises(ValueError, match="fill is given for `picture`, which is neither `image` nor a mask"):
        loader(source, [sh.RandomApply([sh.Pad(5, fill={"picture": 3})])])


def test_a_crop_by_overlap_may_be_part_of_others(source: sh.Table) -> None:
    crop = sh.RandomIoUCrop(sampler_options=[0.1])
    before = samples(loader(source, []))
    cut, left = 0, 0
    for at, sample in samples(loader(source, [sh.RandomApply([crop], p=0.5)])).items():
        assert sample["mask"].shape == sample["image"].shape[:2]
        if sample["image"].shape == before[at]["image"].shape:
            left += 1
            np.testing.assert_array_equal(sample["boxes"], before[at]["boxes"])
            continue
        cut += 1
        # What is cut out is a part of the image, of the mask and of the boxes alike.
        height, width = sample["image"].shape[:2]
        assert sample["boxes"].any()
        assert (sample["boxes"] <= [width, height, width, height]).all()
        rows = np.lib.stride_tricks.sliding_window_view(before[at]["mask"], (height, width))
        (top, left_edge), *_ = np.argwhere((rows == sample["mask"]).all((2, 3)))
        there = before[at]["image"][top : top + height, left_edge : left_edge + width]
        np.testing.assert_array_equal(sample["image"], there)
    assert min(cut, left) > 5
    pixels = sh.Table({"image": sh.Images([np.zeros((8, 8, 3), np.uint8)])})
    with pytest.raises(ValueError, match="has no boxes for its RandomApply to look at"):
        loader(pixels, [sh.RandomApply([crop])], capacity={"image": ROOM})


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: sh.ScaleJitter((0, 4)), "ScaleJitter: size 0 must lie between 1 and 65535"),
        (lambda: sh.ScaleJitter((4, 4), (2.0, 1.0)), "ScaleJitter: scale_range = (2, 1) must be two positive numbers"),
        (lambda: sh.RandomShortestSize([]), "RandomShortestSize: min_size must be one number or several"),
        (lambda: sh.RandomShortestSize(4, max_size=0), "RandomShortestSize: size 0 must lie between"),
        (lambda: sh.RandomZoomOut(side_range=(0.5, 2.0)), "RandomZoomOut: side_range begins at 0.5 and must not be"),
        (lambda: sh.RandomZoomOut(p=2), "RandomZoomOut: p = 2 must lie between 0 and 1"),
        (lambda: sh.RandomIoUCrop(max_scale=1.5), "RandomIoUCrop: max_scale = 1.5 must not be above 1"),
        (lambda: sh.RandomIoUCrop(min_aspect_ratio=3), "RandomIoUCrop: (min_aspect_ratio, max_aspect_ratio) = (3, 2)"),
        (lambda: sh.RandomIoUCrop(sampler_options=[]), "RandomIoUCrop: sampler_options must be one number or more"),
        (lambda: sh.RandomIoUCrop(sampler_options=[-1]), "RandomIoUCrop: sampler_options has -1, which is no"),
        (lambda: sh.RandomIoUCrop(trials=0), "RandomIoUCrop: trials = 0 must lie between 1 and 1000"),
        (lambda: sh.Pad(3, fill={"mask": [1, 2, 3, 4, 5]}), "Pad: fill must be one value or one per channel, not 5"),
    ],
)
def test_a_bad_argument_is_an_error_at_once(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        make()


def test_a_fill_names_fields() -> None:
    wrong: Any
    for wrong in ({}, {3: 4}):
        with pytest.raises(TypeError, match=re.escape("Pad: fill must map names of fields to fills, as {'image': ")):
            sh.Pad(3, fill=wrong)


def test_mistakes_are_named_at_once(source: sh.Table) -> None:
    pixels: Any = {"image": sh.Images([np.zeros((8, 8, 3), np.uint8)] * 2)}
    boxes = sh.BoundingBoxes([np.zeros((1, 4), np.float32)] * 2)
    crop, cases = sh.RandomIoUCrop(), list[tuple[Any, list[sh.Transform], str]]()
    cases += (
        (sh.Table(pixels), [crop], "field `image` has no boxes for its RandomIoUCrop to look at: no BoundingBoxes"),
        (
            sh.Table(pixels | {"a": boxes, "b": boxes}),
            [crop],
            "field `image` has several fields of boxes, and RandomIoU",
        ),
        (sh.Arrays({"image": np.zeros((2, 8, 8, 3), np.uint8)}), [crop], "field `image` has no boxes for its Random"),
        (
            source,
            [sh.Pad(3, fill={"picture": 3})],
            "transform 0: fill is given for `picture`, which is neither `image` nor",
        ),
        (source, [sh.Pad(3, fill={"boxes": 3})], "fill is given for `boxes`, which is neither `image` nor a mask"),
        (source, [sh.Pad(3, fill={"mask": 300})], "fill is given for `mask`, which is a mask, whose fill is one index"),
    )
    for given, chain, message in cases:
        with pytest.raises(ValueError, match=re.escape(message)):
            loader(given, chain, capacity={"image": ROOM})
