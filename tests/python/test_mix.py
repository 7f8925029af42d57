"""`stokehold.mix` beside torchvision's v2, and the same bytes whoever mixes."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import stokehold as sh
from support import CROP, Row, Strikes, eventually, image_loader, value, values

CLASSES = 5
ROWS, SIZE = 42, 8
FINISH = [sh.Normalize(sh.IMAGENET_MEAN, sh.IMAGENET_STD), sh.ToLayout("CHW")]
CHAINS: dict[str, list[sh.Transform]] = {
    "uint8 HWC": [],
    "uint8 CHW": [sh.ToLayout("CHW")],
    "float32 HWC": FINISH[:1],
    "float32 CHW": FINISH,
    "float16 CHW": [sh.ToDtype("float16", scale=True), *FINISH],
    "bfloat16 CHW": [sh.ToDtype("bfloat16", scale=True), *FINISH],
}
MIXES: dict[str, sh.BatchTransform] = {
    "MixUp": sh.MixUp(num_classes=3, alpha=0.4),
    "CutMix": sh.CutMix(num_classes=3),
    "RandomChoice": sh.RandomChoice([sh.MixUp(num_classes=3, alpha=0.4), sh.CutMix(num_classes=3)]),
}


@pytest.fixture(scope="module")
def columns() -> dict[str, Any]:
    """Noise, so that two images are alike in no pixel; neighbours have other labels."""
    draws = np.random.default_rng(3)
    images = draws.integers(0, 256, (ROWS, SIZE, SIZE + 3, 3), np.uint8)
    images[:, :, :, 0] = (np.arange(ROWS) * 5)[:, None, None] + images[:, :, :, 0] % 5
    return {"image": images, "label": np.arange(ROWS) % CLASSES}


@pytest.fixture(scope="module")
def source(columns: dict[str, Any]) -> sh.Arrays:
    return sh.Arrays(columns)


@pytest.fixture(scope="module")
def v2(torch: Any) -> Any:
    """torchvision's transforms."""
    assert torch
    return pytest.importorskip("torchvision.transforms.v2")


def loader(source: sh.Arrays, *mixes: sh.BatchTransform, **options: Any) -> sh.Loader:
    # 42 rows in batches of 8 end in one of 2; the order is the source's, so that neighbours differ.
    given: dict[str, Any] = {"batch_size": 8, "num_workers": 0, "seed": 9}
    return sh.Loader(source, batch_transforms=mixes, **given | options)


def tensors(torch: Any, batch: sh.Batch) -> tuple[Any, Any]:
    """Copies of a batch's images and labels, the images as torchvision has them: (N, C, H, W)."""
    images = torch.from_dlpack(batch.field("image")).clone()
    if images.shape[-1] == 3:
        images = images.permute(0, 3, 1, 2)
    return images, torch.from_dlpack(batch.field("label")).clone()


def weight(labels: npt.NDArray[np.float32], own: npt.NDArray[np.int64]) -> float:
    """The weight of a row's own label, which is that of all rows."""
    (lam,) = {float(lam) for lam in labels[np.arange(len(own)), own]}
    return lam


def mixed_by(theirs: Any, inputs: Any, params: dict[str, Any]) -> Any:
    """Returns what torchvision makes of a tensor, whose transforms had another name for it up to 0.20."""
    return (theirs.transform if hasattr(theirs, "transform") else theirs._transform)(inputs, params)


@pytest.mark.parametrize("chain", CHAINS)
def test_mixup_is_torchvisions_arithmetic(torch: Any, v2: Any, source: sh.Arrays, chain: str) -> None:
    transforms, mix = {"image": CHAINS[chain]}, sh.MixUp(num_classes=CLASSES, alpha=0.7)
    theirs, weights = v2.MixUp(num_classes=CLASSES), set()
    plain = loader(source, transforms=transforms, output="torch")
    for before, after in zip(plain, loader(source, mix, transforms=transforms, output="torch"), strict=True):
        (images, labels), (mixed, mixed_labels) = tensors(torch, before), tensors(torch, after)
        lam = weight(mixed_labels.numpy(), labels.numpy())
        weights.add(lam)
        params = {"labels": labels, "batch_size": len(labels), "lam": lam}
        assert torch.equal(mixed_by(theirs, labels, params), mixed_labels)
        if images.dtype == torch.uint8:
            # Theirs takes no uint8. Ours is rounded, to the even one of two that are equally near.
            expected = torch.from_numpy(np.rint(mixed_by(theirs, images.float(), params).numpy()).astype(np.uint8))
        elif images.dtype == torch.float32:
            expected = mixed_by(theirs, images, params)
        else:
            # Theirs rounds three times, ours once: at the values' size, two units in the last place.
            rounded = mixed_by(theirs, images, params).float()
            assert (rounded - mixed.float()).abs().max() <= 8 * torch.finfo(images.dtype).eps
            expected = mixed_by(theirs, images.float(), params).to(images.dtype)
        assert torch.equal(expected, mixed)
        assert not torch.equal(images, mixed)
    assert len(weights) == len(plain), "every batch has its own"


@pytest.mark.parametrize("chain", CHAINS)
def test_cutmix_is_torchvisions_arithmetic(torch: Any, v2: Any, source: sh.Arrays, chain: str) -> None:
    transforms, mix = {"image": CHAINS[chain]}, sh.CutMix(num_classes=CLASSES)
    theirs, boxes = v2.CutMix(num_classes=CLASSES), set()
    plain = loader(source, transforms=transforms, output="torch")
    mixing = loader(source, mix, transforms=transforms, output="torch")
    for _ in range(4):
        for before, after in zip(plain, mixing, strict=True):
            (images, labels), (mixed, mixed_labels) = tensors(torch, before), tensors(torch, after)
            y, x = (axis.tolist() for axis in torch.where((images != mixed).any(1).any(0)))
            box = (min(x), min(y), max(x) + 1, max(y) + 1) if x else (0, 0, 0, 0)
            boxes.add(box)
            lam = 1.0 - (box[2] - box[0]) * (box[3] - box[1]) / (SIZE * (SIZE + 3))
            params = {"labels": labels, "batch_size": len(labels), "box": box, "lam_adjusted": lam}
            assert torch.equal(mixed_by(theirs, images, params), mixed)
            assert torch.equal(mixed_by(theirs, labels, params), mixed_labels)
    assert len(boxes) > 8


def test_the_spec_is_known_before_and_labels_are_probabilities(folder: Path) -> None:
    with image_loader(folder, batch_transforms=[sh.MixUp(num_classes=1000)], num_workers=2) as mixing:
        assert mixing.spec["label"] == sh.FieldSpec("float32", (1000,))
        assert mixing.spec["image"] == sh.FieldSpec("uint8", (32, 32, 3))
        for batch in mixing:
            labels = np.asarray(batch["label"])
            assert labels.shape == (batch.rows, 1000)
            np.testing.assert_allclose(labels.sum(1), 1.0, rtol=1e-6)
            assert not labels[:, 3:].any()


def test_probabilities_are_mixed_as_they_are(columns: dict[str, Any]) -> None:
    soft = np.random.default_rng(0).random((ROWS, CLASSES), np.float32)
    fields = {"x": columns["image"].astype(np.float32), "y": soft}
    before = next(iter(loader(sh.Arrays(fields))))
    after = next(iter(loader(sh.Arrays(fields), sh.MixUp(image="x", label="y"))))
    x, y, mixed_x, mixed_y = (np.asarray(batch[name], np.float64) for batch in (before, after) for name in "xy")
    lam = (mixed_y[0, 0] - y[-1, 0]) / (y[0, 0] - y[-1, 0])
    np.testing.assert_allclose(mixed_y, lam * y + (1 - lam) * np.roll(y, 1, 0), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(mixed_x, lam * x + (1 - lam) * np.roll(x, 1, 0), rtol=1e-4, atol=1e-2)


def test_a_batch_of_one_is_mixed_with_itself(source: sh.Arrays) -> None:
    plain = loader(source, batch_size=1)
    for mix in (sh.MixUp(num_classes=CLASSES), sh.CutMix(num_classes=CLASSES)):
        for before, after in zip(plain, loader(source, mix, batch_size=1, num_workers=1), strict=True):
            np.testing.assert_array_equal(before["image"], after["image"])
            one_hot = np.eye(CLASSES, dtype=np.float32)[np.asarray(before["label"])]
            np.testing.assert_allclose(after["label"], one_hot, rtol=1e-6)


def test_a_choice_is_drawn_for_each_batch(source: sh.Arrays) -> None:
    mixes = {"up": sh.MixUp(num_classes=CLASSES), "cut": sh.CutMix(num_classes=CLASSES)}
    pair = list(mixes.values())

    def kinds(choice: sh.BatchTransform) -> list[str]:
        """By what is in each batch: pixels that are neither's are mixed up."""
        found = []
        for before, after in zip(loader(source), loader(source, choice), strict=True):
            own, mixed = np.asarray(before["image"]), np.asarray(after["image"])
            pasted = (mixed == own) | (mixed == np.roll(own, 1, 0))
            found.append("cut" if pasted.all() else "up")
        return found

    assert set(kinds(sh.RandomChoice(pair))) == {"up", "cut"}
    assert set(kinds(sh.RandomChoice(pair, p=[1, 0]))) == {"up"}
    assert set(kinds(sh.RandomChoice(pair, p=[0, 0.2]))) == {"cut"}


# The same bytes, whoever mixes.


def mixed(folder: Path, kind: str, **options: Any) -> sh.Loader:
    given: dict[str, Any] = {"batch_size": 5, "transforms": {"image": [*CROP, *FINISH]}}
    return image_loader(folder, batch_transforms=[MIXES[kind]], **given | options)


@pytest.fixture(scope="module")
def expected(folder: Path) -> dict[str, list[Row]]:
    """Three epochs of each mix, made in this process. Three, so that no epoch is like another by accident."""
    return {kind: values(mixed(folder, kind, num_workers=0), epochs=3) for kind in MIXES}


@pytest.mark.parametrize("kind", MIXES)
@pytest.mark.parametrize(("workers", "threads"), [(0, 2), (1, 1), (1, 2), (2, 1), (4, 1)])
def test_bytes_do_not_depend_on_the_workers(
    folder: Path, expected: dict[str, list[Row]], kind: str, workers: int, threads: int
) -> None:
    with mixed(folder, kind, num_workers=workers, threads_per_worker=threads) as mixing:
        assert values(mixing, epochs=3) == expected[kind]
    assert len({row[2] for row in expected[kind]}) == 15


def test_bytes_do_not_depend_on_killed_workers(folder: Path, expected: dict[str, list[Row]]) -> None:
    with mixed(folder, "RandomChoice", num_workers=2, prefetch=1) as mixing:
        strikes = Strikes(mixing)
        for number in range(8):
            mixing.set_epoch(0)
            seen = []
            for _ in range(3):
                for batch in mixing:
                    seen.append(value(batch))
                    strikes.delivered()
                    strikes.kill(1 + number % 2)
            assert seen == expected["RandomChoice"]
        assert eventually(lambda: mixing.stats()["restarts"] == len(strikes.killed))
        assert len(strikes.killed) > 20
        assert mixing.stats()["failed_samples"] == 0


@pytest.mark.parametrize("stop", range(6))
def test_bytes_do_not_depend_on_where_an_epoch_was_resumed(
    folder: Path, expected: dict[str, list[Row]], stop: int
) -> None:
    with mixed(folder, "RandomChoice", num_workers=2) as first:
        batches = iter(first)
        seen = [value(next(batches)) for _ in range(stop)]
        state = json.loads(json.dumps(first.state_dict()))
    with mixed(folder, "RandomChoice", num_workers=1) as second:
        second.load_state_dict(state)
        assert seen + values(second) == expected["RandomChoice"][:5]
        assert values(second) == expected["RandomChoice"][5:10]


def test_ranks_draw_each_their_own(source: sh.Arrays) -> None:
    mix = sh.MixUp(num_classes=CLASSES)
    weights = set()
    for rank in range(2):
        options = {"rank": rank, "world_size": 2}
        plain = loader(source, **options)
        for before, after in zip(plain, loader(source, mix, **options), strict=True):
            weights.add(weight(np.asarray(after["label"]), np.asarray(before["label"])))
    assert len(weights) == 6


# What cannot be mixed.


def with_bad_label(columns: dict[str, Any], bad: int) -> sh.Arrays:
    labels = columns["label"].copy()
    labels[11] = bad
    return sh.Arrays({**columns, "label": labels})


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("bad", [CLASSES, -1, 2**40])
def test_a_label_that_is_no_class_names_its_sample(columns: dict[str, Any], bad: int, workers: int) -> None:
    with loader(with_bad_label(columns, bad), sh.MixUp(num_classes=CLASSES), num_workers=workers) as mixing:
        batches = iter(mixing)
        next(batches)
        with pytest.raises(sh.DecodeError, match=f"sample 11 .*label {bad} is none of the 5 classes, 0 to 4") as caught:
            next(batches)
        assert (caught.value.index, caught.value.stage) == (11, "transform")
        assert [batch.rows for batch in batches] == [8, 8, 8, 2]


def test_a_label_that_is_no_class_may_be_skipped(columns: dict[str, Any]) -> None:
    bad, mix = with_bad_label(columns, 9), sh.CutMix(num_classes=CLASSES)
    seen = [values(loader(bad, mix, num_workers=workers, on_error="skip")) for workers in (0, 2)]
    assert seen[0] == seen[1]
    assert [index for _, indices, _ in seen[0] for index in indices].count(12) == 2


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: sh.MixUp(num_classes=3, alpha=0), "MixUp: alpha = 0 must be positive and finite"),
        (lambda: sh.CutMix(num_classes=3, alpha=-1.0), "CutMix: alpha = -1 must be positive"),
        (lambda: sh.MixUp(num_classes=3, alpha=float("nan")), "MixUp: alpha must be a finite number, not nan"),
        (lambda: sh.MixUp(num_classes=0), "MixUp: num_classes must be 1 or more, or None, not 0"),
        (lambda: sh.MixUp(num_classes=-1), "MixUp: num_classes must be 1 or more, or None, not -1"),
        (lambda: sh.MixUp(num_classes=3, image="x", label="x"), "image and label are the same field, `x`"),
        (lambda: sh.RandomChoice([]), "RandomChoice: transforms must be at least one: there is nothing to choose from"),
        (lambda: sh.RandomChoice([sh.MixUp()], p=[1, 2]), "p has 2 probabilities for 1 transforms"),
        (lambda: sh.RandomChoice([sh.MixUp(), sh.CutMix()], p=[0, 0]), "not all zero"),
        (lambda: sh.RandomChoice([sh.MixUp(), sh.CutMix()], p=[-1, 2]), "not negative"),
    ],
)
def test_a_bad_argument_is_an_error_at_once(make: Any, reason: str) -> None:
    with pytest.raises(ValueError, match=re.escape(reason)):
        make()


def test_arguments_of_another_type_are_an_error() -> None:
    wrong: Any = "MixUp"
    with pytest.raises(
        TypeError, match=r"RandomChoice: transforms must be a list of MixUp, CutMix or RandomChoice .*, not 'MixUp'"
    ):
        sh.RandomChoice(wrong)
    with pytest.raises(TypeError, match="batch_transforms must be a list"):
        sh.Loader(sh.Arrays({"image": np.zeros(4)}), batch_transforms=wrong)
    wrong = sh.MixUp
    with pytest.raises(TypeError, match="positional"):
        wrong(0.2)


@pytest.mark.parametrize(
    ("mix", "fields", "reason"),
    [
        (sh.MixUp(num_classes=3), {"x": np.zeros((4, 2))}, "MixUp: there is no field `image` to be its image"),
        (sh.MixUp(num_classes=3), {"image": np.zeros((4, 2), np.uint8)}, "there is no field `label` to be its label"),
        (
            sh.MixUp(num_classes=3),
            {"image": np.zeros((4, 2)), "label": np.arange(4)},
            "`image` is float64 of shape [2]",
        ),
        (sh.MixUp(), {"image": np.zeros((4, 2), "f4"), "label": np.arange(4)}, "num_classes is needed"),
        (
            sh.MixUp(num_classes=3),
            {"image": np.zeros((4, 2), "f4"), "label": np.zeros((4, 2), int)},
            "`label` is int64 of shape [2]",
        ),
        (sh.MixUp(num_classes=3), {"image": np.zeros((4, 2), "f4"), "label": np.zeros(4)}, "`label` is float64"),
        (
            sh.MixUp(num_classes=3),
            {"image": np.zeros((4, 2), "f4"), "label": np.zeros((4, 2), "f4")},
            "num_classes is 3, and labels `label` are of 2 classes already",
        ),
        (
            sh.RandomChoice([sh.MixUp(num_classes=3), sh.CutMix(num_classes=2)]),
            {"image": np.zeros((4, 2, 2), "f4"), "label": np.arange(4)},
            "CutMix: num_classes is 2, and labels `label` are of 3 classes already",
        ),
        (
            sh.CutMix(num_classes=3),
            {"image": np.zeros((4, 5), "f4"), "label": np.arange(4)},
            "CutMix: takes images of shape (H, W), (H, W, C) or (C, H, W)",
        ),
        (
            sh.CutMix(num_classes=3),
            {"image": np.zeros((4, 3, 9, 3), "f4"), "label": np.arange(4)},
            "cannot tell where the channels of field `image` of shape [3, 9, 3] stand",
        ),
    ],
)
def test_fields_that_cannot_be_mixed_are_an_error_when_the_loader_is_made(
    mix: sh.BatchTransform, fields: dict[str, Any], reason: str
) -> None:
    with pytest.raises(ValueError, match="batch transform 0: .*" + re.escape(reason)):
        sh.Loader(sh.Arrays(fields), batch_transforms=[mix], num_workers=0)


# Masks, and batches that are left alone.


@pytest.fixture(scope="module")
def masked(columns: dict[str, Any]) -> dict[str, Any]:
    """The images with a mask of indices that says of which row it is, and one of probabilities."""
    index = np.broadcast_to(np.arange(ROWS, dtype=np.uint8)[:, None, None], (ROWS, SIZE, SIZE + 3)).copy()
    return {**columns, "mask": index, "soft": index.astype(np.float32)[:, None] / ROWS}


def test_masks_are_cut_as_their_images(masked: dict[str, Any]) -> None:
    transforms: dict[str, Any] = {"mask": [], "soft": []}
    source, cut = sh.Arrays(masked), sh.CutMix(label=None, masks=["mask", "soft"])
    plain, pasted = loader(source, transforms=transforms), loader(source, cut, transforms=transforms)
    boxed = 0
    for before, after in zip(plain, pasted, strict=True):
        own, previous = np.asarray(before["image"]), np.roll(before["image"], 1, 0)
        from_previous = np.asarray(after["mask"]) != before["mask"]
        assert np.array_equal(after["image"], np.where(from_previous[..., None], previous, own))
        assert np.array_equal(after["mask"], np.where(from_previous, np.roll(before["mask"], 1, 0), before["mask"]))
        assert np.array_equal(after["soft"][:, 0], np.asarray(after["mask"], np.float32) / ROWS)
        assert np.array_equal(after["label"], before["label"])
        boxed += from_previous.any()
    assert boxed > 2


def test_masks_are_mixed_up_as_their_images(masked: dict[str, Any]) -> None:
    source, mix = sh.Arrays(masked), sh.MixUp(num_classes=CLASSES, masks=["soft"])
    transforms: dict[str, Any] = {"mask": [], "soft": []}
    plain, mixed = loader(source, transforms=transforms), loader(source, mix, transforms=transforms)
    for before, after in zip(plain, mixed, strict=True):
        lam = np.float32(weight(np.asarray(after["label"]), np.asarray(before["label"])))
        own, previous = np.asarray(before["soft"]), np.roll(before["soft"], 1, 0)
        # The weight of the other is 1 - lam in float64, so off by a rounding: of numbers below 1, 2**-24 each.
        np.testing.assert_allclose(after["soft"], previous * (1 - lam) + own * lam, rtol=0, atol=2**-22)
        assert np.array_equal(after["mask"], before["mask"])


@pytest.mark.parametrize("kind", [sh.MixUp, sh.CutMix])
def test_a_batch_is_mixed_with_probability_p(source: sh.Arrays, kind: Any) -> None:
    def mixed_batches(p: float) -> list[bool]:
        found = []
        for epoch in range(20):
            plain, mixing = loader(source), loader(source, kind(num_classes=CLASSES, p=p))
            for each in (plain, mixing):
                each.set_epoch(epoch)
            for before, after in zip(plain, mixing, strict=True):
                one_hot = np.eye(CLASSES, dtype=np.float32)[np.asarray(before["label"])]
                is_same = np.array_equal(before["image"], after["image"])
                assert not is_same or np.array_equal(after["label"], one_hot) or kind is sh.MixUp
                found.append(not is_same)
        return found

    always, half = mixed_batches(1.0), mixed_batches(0.5)
    assert not any(mixed_batches(0.0))
    # Of 120 fair coins, given or taken four standard deviations of 5.5; a few mixes leave everything as it was.
    assert 38 - always.count(False) <= sum(half) <= 82
    assert sum(always) > 100


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: sh.MixUp(num_classes=3, p=1.5), "MixUp: p = 1.5 must lie between 0 and 1"),
        (lambda: sh.CutMix(label=None), "CutMix: label is None, and there are no masks"),
        (lambda: sh.CutMix(label=None, masks=["m"], num_classes=3), "num_classes goes with a label, and label is None"),
        (
            lambda: sh.CutMix(num_classes=3, masks=["image"]),
            "masks must be fields of their own, and `image` is the image",
        ),
    ],
)
def test_a_bad_mask_is_an_error_at_once(make: Any, reason: str) -> None:
    with pytest.raises(ValueError, match=re.escape(reason)):
        make()


def test_masks_that_cannot_be_mixed_are_named(masked: dict[str, Any]) -> None:
    small = {**masked, "small": np.zeros((ROWS, SIZE, SIZE), np.uint8)}
    for mix, reason in (
        (sh.MixUp(num_classes=CLASSES, masks=["mask"]), "mixes masks that are float, and field `mask` is uint8"),
        (sh.CutMix(num_classes=CLASSES, masks=["other"]), "there is no field `other` to be its mask"),
        (sh.CutMix(num_classes=CLASSES, masks=["small"]), "mask `small` is 8x8, and its image 11x8"),
    ):
        with pytest.raises(ValueError, match=re.escape(reason)):
            loader(sh.Arrays(small), mix)
