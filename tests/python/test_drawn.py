"""What a sample was drawn with: each transform that draws says so, and what it says makes the sample again."""

from __future__ import annotations

import dataclasses
import inspect
import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import stokehold as sh
from stokehold.drawn import Drawn, Sample

HEIGHT, WIDTH = 40, 52
IMAGES = np.random.default_rng(3).integers(0, 255, (6, HEIGHT, WIDTH, 3), np.uint8)
IMAGES[:, :, :, 1] = np.arange(WIDTH) * 4
"""Noise would do, but for the colours, which change an even image less."""

Image = npt.NDArray[np.uint8]


def made(transforms: list[Any], images: npt.NDArray[Any] = IMAGES, **options: Any) -> sh.Loader:
    given: dict[str, Any] = {"batch_size": 2, "seed": 4, "num_workers": 0, "shuffle": True} | options
    return sh.Loader(sh.Arrays({"image": images}), transforms={"image": transforms}, **given)


def sampled(transforms: list[Any], epoch: int, index: int = 2) -> tuple[Image, list[Drawn]]:
    sample = made(transforms).sample(index, epoch)
    return sample["image"], sample.drawn["image"]


def rebuilt(image: Image, *transforms: Any) -> Image:
    """What transforms make of one image."""
    found: Image = made(list(transforms), image[None]).sample(0)["image"]
    return found


EPOCHS = settings(deadline=None, max_examples=25)


@EPOCHS
@given(epoch=st.integers(0, 10**6))
def test_a_crop_and_a_flip_are_made_again_of_what_was_drawn(epoch: int) -> None:
    image, (crop, flip, flop) = sampled(
        [sh.RandomResizedCrop(16), sh.RandomHorizontalFlip(), sh.RandomVerticalFlip()], epoch
    )
    assert [each.transform for each in (crop, flip, flop)] == [
        "RandomResizedCrop",
        "RandomHorizontalFlip",
        "RandomVerticalFlip",
    ]
    top, left, height, width = (crop.parameters[name] for name in ("top", "left", "height", "width"))
    cut = np.ascontiguousarray(IMAGES[2][top : top + height, left : left + width])
    again = rebuilt(cut, sh.Resize((16, 16)))
    again = again[:, ::-1] if flip.parameters["applied"] else again
    again = again[::-1] if flop.parameters["applied"] else again
    assert (again == image).all()


@EPOCHS
@given(epoch=st.integers(0, 10**6), padding=st.integers(0, 6))
def test_a_padded_crop_is_made_again_of_what_was_drawn(epoch: int, padding: int) -> None:
    image, (crop,) = sampled([sh.RandomCrop(30, padding=padding)], epoch)
    top, left = (crop.parameters[name] + padding for name in ("top", "left"))
    sides = ((padding, padding), (padding, padding), (0, 0))
    assert (np.pad(IMAGES[2], sides)[top : top + 30, left : left + 30] == image).all()
    assert (crop.parameters["height"], crop.parameters["width"]) == (30, 30)


@EPOCHS
@given(epoch=st.integers(0, 10**6))
def test_a_rotation_is_made_again_of_what_was_drawn(epoch: int) -> None:
    image, (rotation, affine) = sampled(
        [sh.RandomRotation(50), sh.RandomAffine(20, translate=(0.2, 0.1), scale=(0.8, 1.3), shear=(-9, 9, -4, 4))],
        epoch,
    )
    angle, (x, y) = rotation.parameters["angle"], affine.parameters["shear"]
    scale, turned = affine.parameters["scale"], affine.parameters["angle"]
    again = rebuilt(IMAGES[2], sh.RandomRotation((angle, angle)))
    assert len(affine.parameters["translate"]) == 2
    if affine.parameters["translate"] != [0, 0]:
        # A distance is a range about 0, which cannot be one number alone.
        assert not (again == image).all()
        return
    again = rebuilt(again, sh.RandomAffine((turned, turned), scale=(scale, scale), shear=(x, x, y, y)))
    assert (again == image).all()


@EPOCHS
@given(epoch=st.integers(0, 10**6))
def test_colours_are_made_again_of_what_was_drawn(epoch: int) -> None:
    image, (jitter, blur) = sampled([sh.ColorJitter(0.4, 0.5, 0.6, 0.2), sh.GaussianBlur(5)], epoch)
    names = ["brightness", "contrast", "saturation", "hue"]
    factors = {name: jitter.parameters[f"{name}_factor"] for name in names}
    steps = [sh.ColorJitter(**{names[at]: (factors[names[at]],) * 2}) for at in jitter.parameters["fn_idx"]]
    assert (rebuilt(IMAGES[2], *steps, sh.GaussianBlur(5, (blur.parameters["sigma"],) * 2)) == image).all()


@EPOCHS
@given(epoch=st.integers(0, 10**6))
def test_what_is_made_of_others_says_which_were_done(epoch: int) -> None:
    flips = [sh.RandomHorizontalFlip(), sh.RandomVerticalFlip(), sh.RandomInvert()]
    transforms = [sh.RandomApply([sh.RandomChoice(flips)], 0.5), sh.RandomOrder(flips)]
    image, (apply, order) = sampled(transforms, epoch)
    done = list(order.parameters["transforms"])
    assert [each.transform for each in done] == [type(flips[at]).__name__ for at in order.parameters["order"]]
    assert apply.parameters["applied"] is ("transforms" in apply.parameters)
    if apply.parameters["applied"]:
        (choice,) = apply.parameters["transforms"]
        assert [each.transform for each in choice.parameters["transforms"]] == [
            type(flips[choice.parameters["idx"]]).__name__
        ]
        done = [*choice.parameters["transforms"], *done]
    again = IMAGES[2]
    for each in done:
        if each.parameters["applied"]:
            changed = {
                "RandomHorizontalFlip": again[:, ::-1],
                "RandomVerticalFlip": again[::-1],
                "RandomInvert": 255 - again,
            }
            again = changed[each.transform]
    assert (again == image).all()


@EPOCHS
@given(epoch=st.integers(0, 10**6), magnitude=st.integers(0, 30))
def test_policies_say_what_they_did_and_how_strongly(epoch: int, magnitude: int) -> None:
    image, (policy,) = sampled([sh.RandAugment(magnitude=magnitude)], epoch)
    again = IMAGES[2]
    for name, parameters in policy.parameters["transforms"]:
        strength = parameters["magnitude"]
        both = (1 + strength,) * 2
        changes: dict[str, Callable[[], sh.Transform]] = {
            "Brightness": lambda: sh.ColorJitter(brightness=both),  # noqa: B023 (it is called at once)
            "Contrast": lambda: sh.ColorJitter(contrast=both),  # noqa: B023
            "Color": lambda: sh.ColorJitter(saturation=both),  # noqa: B023
            "Rotate": lambda: sh.RandomRotation((strength, strength)),  # noqa: B023
            "Posterize": lambda: sh.RandomPosterize(int(strength), p=1),  # noqa: B023
            "AutoContrast": lambda: sh.RandomAutocontrast(p=1),
            "Equalize": lambda: sh.RandomEqualize(p=1),
            "Identity": lambda: sh.Compose([]),
        }
        if name not in changes:
            return
        again = rebuilt(again, changes[name]())
    assert (again == image).all()
    assert len(policy.parameters["transforms"]) == 2


def test_a_box_is_erased_where_it_says() -> None:
    for epoch in range(12):
        image, (erased,) = sampled([sh.RandomErasing(0.5, value=0)], epoch)
        again = IMAGES[2].copy()
        if erased.parameters["applied"]:
            top, left, height, width = (erased.parameters[name] for name in ("top", "left", "height", "width"))
            again[top : top + height, left : left + width] = 0
        assert (again == image).all()


NEEDED: dict[str, Any] = {
    "size": 16,
    "degrees": 20,
    "bits": 3,
    "threshold": 100,
    "sharpness_factor": 2,
    "target_size": (20, 20),
    "min_size": [20, 30],
    "kernel_size": 3,
    "transforms": [sh.RandomHorizontalFlip()],
    "time_mask_param": 8,
    "freq_mask_param": 8,
    "brightness": 0.5,
    "layout": "CHW",
    "mean": [0.5],
    "std": [0.5],
    "dtype": "float32",
    "padding": 1,
    "sample_rate": 8000,
}


def transforms() -> Iterator[type]:
    """All public transforms of fields."""
    for name in sh.__all__:
        public = getattr(sh, name)
        if inspect.isclass(public) and issubclass(public, sh.Transform) and public is not sh.Transform:
            yield public


def built(public: type) -> sh.Transform:
    needed = [each for each in dataclasses.fields(public) if each.default is dataclasses.MISSING]
    needed = [each for each in needed if each.default_factory is dataclasses.MISSING and each.init]
    made: sh.Transform = public(**{each.name: NEEDED[each.name] for each in needed})
    return made


def field_for(public: type, folder: Path) -> tuple[sh.Source, str]:
    """A source that a transform takes, and its field."""
    if public.__module__.endswith("sound"):
        import wave  # noqa: PLC0415  # Few tests make sound.

        path = folder / "a.wav"
        with wave.open(str(path), "wb") as file:
            file.setparams((1, 2, 16000, 0, "NONE", "none"))
            file.writeframes(np.random.default_rng(0).integers(-999, 999, 16000, np.int16).tobytes())
        return sh.Table({"image": sh.Audio([path], sample_rate=16000, samples=8000, crop="random")}), "image"
    if public is not sh.RandomIoUCrop:
        images = sh.Table({"image": sh.Images(list(IMAGES))}) if public is sh.Mosaic else sh.Arrays({"image": IMAGES})
        return images, "image"
    boxes = sh.BoundingBoxes([np.array([[4, 4, 30, 30]], np.float32)] * 6, image="image", format="XYXY")
    return sh.Table({"image": sh.Images(list(IMAGES)), "boxes": boxes}), "image"


RANDOM = {
    *("AugMix", "AutoAugment", "ColorJitter", "ElasticTransform", "FrequencyMasking", "GaussianBlur", "Mosaic"),
    *("RandAugment", "RandomAdjustSharpness", "RandomAffine", "RandomApply", "RandomAutocontrast", "RandomChoice"),
    *("RandomCrop", "RandomEqualize", "RandomErasing", "RandomGrayscale", "RandomHorizontalFlip", "RandomInvert"),
    *("RandomIoUCrop", "RandomOrder", "RandomPerspective", "RandomPosterize", "RandomResizedCrop", "RandomRotation"),
    *("RandomShortestSize", "RandomSolarize", "RandomVerticalFlip", "RandomZoomOut", "ScaleJitter", "TimeMasking"),
    "TrivialAugmentWide",
}
"""Those that draw."""


OTHERS = {
    *("Call", "ChatTemplate", "Compose", "DecodeImage", "Tokenize"),
    *("ClampBoundingBoxes", "ClampKeyPoints", "ConvertBoundingBoxFormat", "SanitizeBoundingBoxes"),
}
"""Those that are neither of images nor of sound, or stand for what is in them."""


def test_every_transform_that_draws_says_what(tmp_path: Path) -> None:
    told, seen = set(), set()
    for public in transforms():
        if public.__name__ in OTHERS:
            continue
        seen.add(public.__name__)
        source, field = field_for(public, tmp_path)
        chain: list[Any] = [built(public)]
        if public.__name__ in {"TimeMasking", "FrequencyMasking", "AmplitudeToDB"}:
            chain = [sh.Spectrogram(), *chain]
        options: dict[str, Any] = {"capacity": {field: 10**6}} if field == "image" else {}
        try:
            loader = sh.Loader(source, batch_size=1, num_workers=0, transforms={field: chain}, **options)
        except ValueError:
            loader = sh.Loader(source, batch_size=1, num_workers=0, transforms={field: chain})
        sample = loader.sample(0)
        drawn = [each for each in sample.drawn.get(field, []) if each.transform != "Audio"]
        json.dumps(sample.drawn)
        if drawn:
            assert [each.transform for each in drawn] == [public.__name__]
            assert drawn[0].parameters, f"{public.__name__} has drawn, and does not say what"
            told.add(public.__name__)
    assert told == RANDOM
    # Nothing that is called random was passed over.
    assert {name for name in seen if "Random" in name} <= told


def test_a_waveform_says_where_it_begins_and_what_is_masked(tmp_path: Path) -> None:
    source, field = field_for(sh.TimeMasking, tmp_path)
    sample = sh.Loader(source, num_workers=0).sample(0, 3)
    (crop,) = sample.drawn[field]
    assert crop.transform == "Audio"
    whole = sh.Loader(
        sh.Table({"image": sh.Audio([tmp_path / "a.wav"], sample_rate=16000)}), num_workers=0, capacity={"image": 16000}
    )
    start = crop.parameters["start"]
    assert (whole.sample(0)["image"][start : start + 8000] == sample["image"]).all()
    chain = [sh.Spectrogram(n_fft=64), sh.TimeMasking(20), sh.FrequencyMasking(9)]
    sample = sh.Loader(source, num_workers=0, transforms={field: chain}).sample(0, 3)
    _, time, frequency = sample.drawn[field]
    plain = sh.Loader(source, num_workers=0, transforms={field: chain[:1]}).sample(0, 3)["image"].copy()
    plain[time.parameters["mask_start"] : time.parameters["mask_end"]] = 0
    plain[:, frequency.parameters["mask_start"] : frequency.parameters["mask_end"]] = 0
    assert (plain == sample["image"]).all()


def test_views_and_masks_say_what_is_theirs() -> None:
    source = sh.Table(
        {"image": sh.Images(list(IMAGES)), "mask": sh.Masks([image[:, :, 0] for image in IMAGES], image="image")}
    )
    crop = sh.RandomResizedCrop(8)
    other = sh.View("image", [crop])
    loader = sh.Loader(source, transforms={"image": [crop], "other": other}, num_workers=0)
    drawn = loader.sample(1).drawn
    assert set(drawn) == {"image", "mask", "other"}
    assert drawn["image"] == drawn["mask"] != drawn["other"]


def test_a_mosaic_says_which_others() -> None:
    source = sh.Table({"image": sh.Images(list(IMAGES)), "index": np.arange(6)})
    mosaic = sh.Mosaic(20, p=0.5)
    loader = sh.Loader(source, transforms={"image": [mosaic]}, num_workers=0, capacity={"image": 10**5})
    found = [loader.sample(0, epoch).drawn["image"][0].parameters for epoch in range(30)]
    assert {each["applied"] for each in found} == {True, False}
    for each in found:
        assert len(each.get("indices", [0] * 3)) == 3
        assert set(each.get("indices", [])) <= set(range(6))


class Dataset:
    """Samples with numbers of their own."""

    def __len__(self) -> int:
        return 5

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {"x": np.array([random.random(), np.random.random()])}  # noqa: NPY002


def shifted(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return array + np.random.random()  # noqa: NPY002


def test_datasets_and_functions_say_their_seeds() -> None:
    sample = sh.Loader(Dataset(), num_workers=0).sample(3, 2)
    ((name, seeds),) = sample.drawn[None]
    assert name == "seeds"
    random.seed(seeds["random"])
    np.random.seed(seeds["numpy"])  # noqa: NPY002
    assert (sample["x"] == [random.random(), np.random.random()]).all()  # noqa: NPY002
    source = sh.Arrays({"x": np.arange(6.0)})
    sample = sh.Loader(source, transforms={"x": [shifted]}, num_workers=0).sample(4)
    ((name, seeds),) = sample.drawn["x"]
    np.random.seed(seeds["numpy"])  # noqa: NPY002
    assert ("shifted" in name, sample["x"]) == (True, shifted(np.array(4.0)))


def test_what_comes_before_a_function_of_whole_samples_is_said_too() -> None:
    crop = sh.RandomCrop(20)

    def doubled(sample: dict[str, Any]) -> dict[str, Any]:
        return {"twice": sample["image"] // 2}

    loader = sh.Loader(sh.Arrays({"image": IMAGES}), transforms=[{"image": [crop]}, sh.Map(doubled)], num_workers=0)
    sample = loader.sample(2, 5)
    (drawn,) = sample.drawn["image"]
    top, left = drawn.parameters["top"], drawn.parameters["left"]
    assert (sample["twice"] == IMAGES[2][top : top + 20, left : left + 20] // 2).all()


@pytest.mark.parametrize("workers", [0, 2])
def test_what_is_told_is_of_the_row_that_was_made(workers: int) -> None:
    chain = [sh.RandomCrop(20), sh.RandomHorizontalFlip()]
    with made(chain, num_workers=workers, threads_per_worker=2) as loader:
        for batch in loader:
            for image, index in zip(batch["image"], batch.indices, strict=True):
                sample = loader.sample(int(index), 0)
                crop, flip = sample.drawn["image"]
                top, left = crop.parameters["top"], crop.parameters["left"]
                cut = IMAGES[index][top : top + 20, left : left + 20]
                assert ((cut[:, ::-1] if flip.parameters["applied"] else cut) == image).all()
                assert isinstance(sample, Sample)
                assert dict(sample) == sample


def test_what_draws_nothing_is_not_there() -> None:
    assert made([sh.CenterCrop(8)]).sample(1).drawn == {}
