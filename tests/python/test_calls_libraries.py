"""Transforms of torchvision, Albumentations and kornia as functions in the native pool."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import stokehold as sh
from support import values

IMAGES = np.random.default_rng(0).integers(0, 256, (11, 40, 36, 3), np.uint8)
MASKS = (IMAGES[..., 0] // 64).astype(np.uint8)
BOXES = np.tile(np.array([[2, 3, 20, 30]], np.float32), (11, 1, 1))
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")


@pytest.fixture(scope="module")
def albumentations() -> Iterator[Any]:
    """Albumentations. OpenCV and SciPy come with it, each with an OpenBLAS whose threads begin when it is imported."""
    with pytest.MonkeyPatch.context() as environment:
        # It would ask the network for its newest release, here and in each process of a pool.
        environment.setenv("NO_ALBUMENTATIONS_UPDATE", "1")
        yield pytest.importorskip("albumentations")


@pytest.fixture(scope="module")
def augmentation(torch: Any) -> Any:
    """The augmentations of kornia."""
    del torch  # Its threads are to be there.
    return pytest.importorskip("kornia.augmentation")


def images(transforms: list[Any], workers: int = 0, source: Any = None) -> Any:
    given = source or sh.Arrays({"image": IMAGES})
    with sh.Loader(given, batch_size=11, num_workers=workers, seed=3, transforms={"image": transforms}) as made:
        (batch,) = made
        return np.array(batch["image"])


def same_everywhere(transforms: list[Any]) -> Any:
    """Images that are equal with 0, 1 and 2 workers, and others in another epoch."""

    def epochs(workers: int) -> list[Any]:
        source = sh.Arrays({"image": IMAGES})
        chosen: dict[str, Any] = {"batch_size": 4, "num_workers": workers, "seed": 3}
        with sh.Loader(source, transforms={"image": transforms}, **chosen) as made:
            return values(made, epochs=2)

    found = epochs(0)
    assert found == epochs(1) == epochs(2)
    assert found[0][2] != found[3][2]
    return images(transforms)


def test_torchvision_v2() -> None:
    torch = pytest.importorskip("torch")
    v2 = pytest.importorskip("torchvision.transforms.v2")
    flipped = images([v2.RandomHorizontalFlip(1.0)])
    assert np.array_equal(flipped, IMAGES[:, :, ::-1])
    chain = v2.Compose(
        [
            v2.RandomResizedCrop(24),
            v2.ColorJitter(0.4, 0.4),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize([0.5], [0.5]),
        ]
    )
    made = same_everywhere([chain])
    assert (made.dtype, made.shape) == (np.float32, (11, 24, 24, 3))
    planes = same_everywhere([sh.CenterCrop(30), sh.ToLayout("CHW"), v2.RandomVerticalFlip(0.5)])
    assert planes.shape == (11, 3, 30, 30)
    whole = images([v2.CenterCrop(20), sh.Normalize([0.5], [0.5]), sh.ToLayout("CHW")])
    assert np.array_equal(whole, images([sh.CenterCrop(20), sh.Normalize([0.5], [0.5]), sh.ToLayout("CHW")]))


def test_torchvision_v1_gets_pictures() -> None:
    transforms = pytest.importorskip("torchvision.transforms")
    chain = transforms.Compose(
        [transforms.RandomCrop(20), transforms.ToTensor(), transforms.Normalize([0.5] * 3, [0.5] * 3)]
    )
    made = same_everywhere([chain])
    assert (made.dtype, made.shape) == (np.float32, (11, 20, 20, 3))
    grey = transforms.Compose([transforms.Grayscale()])
    assert images([grey]).shape == (11, 40, 36, 1)


@pytest.mark.thorough
def test_albumentations(albumentations: Any) -> None:
    assert np.array_equal(images([albumentations.HorizontalFlip(p=1.0)]), IMAGES[:, :, ::-1])
    chain = albumentations.Compose([albumentations.RandomCrop(24, 20), albumentations.RandomBrightnessContrast(p=0.9)])
    assert same_everywhere([chain]).shape == (11, 24, 20, 3)
    # A single one keeps its draws too.
    same_everywhere([albumentations.RandomCrop(24, 20)])


@pytest.mark.thorough
def test_kornia(augmentation: Any) -> None:
    chain = augmentation.AugmentationSequential(
        augmentation.RandomHorizontalFlip(p=0.5), augmentation.ColorJiggle(0.2, 0.2, 0.2, 0.1, p=1.0)
    )
    made = same_everywhere([sh.CenterCrop(32), sh.ToDtype("float32", scale=True), chain])
    assert (made.dtype, made.shape) == (np.float32, (11, 32, 32, 3))
    flip = augmentation.RandomHorizontalFlip(p=1.0)
    floats = [sh.ToDtype("float32", scale=True)]
    assert np.array_equal(images([*floats, flip]), images(floats)[:, :, ::-1])


def sources() -> sh.Table:
    return sh.Table(
        {
            "image": sh.Images(list(IMAGES)),
            "mask": sh.Masks(list(MASKS), image="image"),
            "boxes": sh.BoundingBoxes(list(BOXES), image="image"),
            "label": np.arange(11),
        }
    )


def whole(adapter: Any, workers: int) -> list[Any]:
    options: dict[str, Any] = {"batch_size": 11, "num_workers": workers, "seed": 3, "capacity": {"boxes": 4}}
    with sh.Loader(sources(), transforms=[sh.Map(adapter)], **options) as made:
        (batch,) = made
        return [np.array(batch["image"]), np.array(batch["mask"]), [row.tolist() for row in batch["boxes"]]]


def check_targets(adapter: Any) -> None:
    image, mask, boxes = whole(adapter, 0)
    assert np.array_equal(image[..., 0] // 64, mask)
    again = whole(adapter, 2)
    assert np.array_equal(image, again[0])
    assert boxes == again[2]
    flipped = [at for at in range(11) if not np.array_equal(image[at], IMAGES[at])]
    assert 0 < len(flipped) < 11
    for at in range(11):
        expected = [16.0, 3.0, 34.0, 30.0] if at in flipped else [2.0, 3.0, 20.0, 30.0]
        assert boxes[at] == [pytest.approx(expected, abs=1e-3)]


def test_masks_and_boxes_of_torchvision() -> None:
    v2 = pytest.importorskip("torchvision.transforms.v2")
    check_targets(sh.TorchVision(v2.RandomHorizontalFlip(0.5), image="image", mask="mask", boxes="boxes"))


@pytest.mark.thorough
def test_masks_and_boxes_of_albumentations(albumentations: Any) -> None:
    chain = albumentations.Compose(
        [albumentations.HorizontalFlip(p=0.5)],
        bbox_params=albumentations.BboxParams(format="pascal_voc", label_fields=[]),
    )
    check_targets(sh.Albumentations(chain, image="image", mask="mask", boxes="boxes"))


@pytest.mark.thorough
def test_keypoints_of_albumentations(albumentations: Any) -> None:
    chain = albumentations.Compose(
        [albumentations.HorizontalFlip(p=1.0)], keypoint_params=albumentations.KeypointParams(format="xy")
    )
    points = sh.KeyPoints([np.array([[1, 2]], np.float32)] * 11, image="image")
    table = sh.Table({"image": sh.Images(list(IMAGES)), "points": points})
    adapter = sh.Albumentations(chain, image="image", keypoints="points")
    with sh.Loader(table, num_workers=0, batch_size=11, transforms=[sh.Map(adapter)]) as made:
        (batch,) = made
        assert all(row.tolist() == [[34.0, 2.0]] for row in batch["points"])
