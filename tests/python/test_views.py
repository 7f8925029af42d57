"""Several fields that are made of one: `stokehold.View`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import stokehold as sh
from support import values

Image = pytest.importorskip("PIL.Image")

ROWS = 12
GLOBAL: list[Any] = [sh.RandomResizedCrop(40, scale=(0.4, 1.0)), sh.RandomHorizontalFlip(), sh.ColorJitter(0.4)]
LOCAL: list[Any] = [sh.RandomResizedCrop(16, scale=(0.05, 0.4)), sh.RandomHorizontalFlip()]
TWO = {"view1": sh.View("image", GLOBAL), "view2": sh.View("image", GLOBAL)}
CROPS = {"large1": GLOBAL, "large2": GLOBAL, **{f"small{at}": LOCAL for at in range(6)}}


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Smooth images of different sizes, as JPEG and as PNG with alpha, in turn."""
    root, draws = tmp_path_factory.mktemp("views"), np.random.default_rng(4)
    found = []
    for at in range(ROWS):
        height, width = 70 + 5 * at, 120 - 3 * at
        small = draws.integers(0, 256, (9, 11, 4 if at % 2 else 3), np.uint8)
        image = Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC)
        found.append(root / f"{at}.{'png' if at % 2 else 'jpg'}")
        image.save(found[-1])
    return found


def table(paths: list[Path]) -> sh.Table:
    return sh.Table({"label": np.arange(len(paths)), "image": sh.Images(paths)})


def detection(paths: list[Path]) -> sh.Table:
    """Images with boxes, what goes with these, points, and a mask that says which half of the image it is."""
    draws = np.random.default_rng(6)
    boxes, masks = [], []
    for at, path in enumerate(paths):
        with Image.open(path) as image:
            width, height = image.size
        corners = np.sort(draws.uniform(0, 1, (1 + at % 4, 2, 2)), axis=1) * [width, height]
        boxes.append(corners.reshape(-1, 4).astype(np.float32))
        mask = np.zeros((height, width), np.uint8)
        mask[:, width // 2 :] = 7
        masks.append(path.with_suffix(".mask.png"))
        Image.fromarray(mask).save(masks[-1])
    return sh.Table(
        {
            "image": sh.Images(paths),
            "boxes": sh.BoundingBoxes(boxes, "XYXY"),
            "labels": sh.Lists([np.arange(len(row)) for row in boxes], np.int64),
            "points": sh.KeyPoints([row.reshape(-1, 2, 2) for row in boxes]),
            "mask": sh.Masks(masks),
        }
    )


def loader(source: Any, transforms: Any, **options: Any) -> sh.Loader:
    given: dict[str, Any] = {"batch_size": 5, "num_workers": 0, "seed": 3, "shuffle": True}
    return sh.Loader(source, transforms=transforms, **given | options)


def rows(found: sh.Loader) -> dict[str, list[npt.NDArray[Any]]]:
    """Returns what each field has in an epoch, row by row."""
    fields: dict[str, list[npt.NDArray[Any]]] = {name: [] for name in found.spec}
    for batch in found:
        for name in batch:
            fields[name] += [np.array(row) for row in batch[name]]
    return fields


def assert_same(one: list[npt.NDArray[Any]], other: list[npt.NDArray[Any]]) -> None:
    assert len(one) == len(other)
    for left, right in zip(one, other, strict=True):
        np.testing.assert_array_equal(left, right)


def test_two_views_stand_where_their_image_stood(paths: list[Path]) -> None:
    found = loader(table(paths), TWO)
    assert list(found.spec) == ["label", "view1", "view2"]
    assert found.spec["view2"] == sh.FieldSpec("uint8", (40, 40, 3))
    fields = rows(found)
    assert sorted(int(label) for label in fields["label"]) == list(range(ROWS))
    differ = [not np.array_equal(*pair) for pair in zip(fields["view1"], fields["view2"], strict=True)]
    assert all(differ)
    named = loader(table(paths), TWO, batch_type="tuple")
    assert next(iter(named))._fields == ("label", "view1", "view2")


@pytest.mark.parametrize("name", CROPS)
def test_a_view_is_what_the_field_would_be_by_itself(paths: list[Path], name: str) -> None:
    """Pixel by pixel, though one decode serves all of them."""
    views = {view: sh.View("image", chain) for view, chain in CROPS.items()}
    together = rows(loader(table(paths), views))
    alone = rows(loader(table(paths), {name: sh.View("image", CROPS[name])}))
    assert_same(together[name], alone[name])
    # And what it would be without any view, if that drew the same.
    as_image = rows(loader(table(paths), {name: sh.View("image", CROPS[name])}, draws={name: "image"}))
    assert_same(as_image[name], rows(loader(table(paths), {"image": CROPS[name]}))["image"])


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_bytes_do_not_depend_on_workers_or_resumption(paths: list[Path], workers: int) -> None:
    views = {view: sh.View("image", chain) for view, chain in CROPS.items()}
    expected = values(loader(table(paths), views), 2)
    with loader(table(paths), views, num_workers=workers) as found:
        batches = iter(found)
        next(batches)
        state = found.state_dict()
        found.set_epoch(0)
        assert values(found, 2) == expected
    with loader(table(paths), views, num_workers=workers) as found:
        found.load_state_dict(state)
        assert values(found) == expected[1:3]


def test_a_file_is_decoded_once(paths: list[Path], tmp_path: Path) -> None:
    """A damaged file counts once for each time it is decoded, and alpha that is dropped once for each header."""
    damaged = []
    for at, path in enumerate(paths[::2]):
        damaged.append(tmp_path / f"{at}.jpg")
        data = bytearray(path.read_bytes())
        damaged[-1].write_bytes(data[:-200])
    decode = sh.DecodeImage(truncated="pad")
    views = {name: sh.View("image", [decode, *chain]) for name, chain in CROPS.items()}
    found = loader(sh.Table({"image": sh.Images(damaged)}), views)
    rows(found)
    assert found.stats()["damaged_images"] == len(damaged)
    # Not decoded alike, so decoded for each.
    views["other"] = sh.View("image", [sh.DecodeImage(truncated="pad", mode="L"), sh.Resize((8, 8))])
    found = loader(sh.Table({"image": sh.Images(damaged)}), views)
    rows(found)
    assert found.stats()["damaged_images"] == 2 * len(damaged)
    found = loader(table(paths[1::2]), TWO)
    rows(found)
    assert found.stats()["dropped_alpha"] == len(paths[1::2])


def test_the_image_stays_where_it_is_asked_for(paths: list[Path]) -> None:
    whole = {"image": [sh.Resize((8, 8))], **TWO}
    found = rows(loader(table(paths), whole))
    assert list(found) == ["label", "image", "view1", "view2"]
    assert_same(found["image"], rows(loader(table(paths), {"image": whole["image"]}))["image"])
    assert_same(found["view1"], rows(loader(table(paths), TWO))["view1"])
    ragged = loader(table(paths), TWO, capacity={"image": 130 * 130})
    assert list(ragged.spec) == ["label", "image", "view1", "view2"]


def test_what_follows_an_image_follows_its_views(paths: list[Path]) -> None:
    source, crop = detection(paths), [sh.RandomResizedCrop(30), sh.RandomHorizontalFlip(), sh.RandomRotation(20)]

    def of(number: int) -> dict[str, Any]:
        image, labels = f"view{number}", f"labels{number}"
        sanitize = [sh.SanitizeBoundingBoxes(min_size=3, labels=[labels, f"points{number}"])]
        return {
            image: sh.View("image", crop),
            f"boxes{number}": sh.View("boxes", sanitize, image=image),
            labels: sh.View("labels"),
            f"points{number}": sh.View("points", image=image),
            f"mask{number}": sh.View("mask", image=image),
        }

    both = rows(loader(source, of(1) | of(2), draws={"view1": "image"}))
    names = ["view1", "view2", "boxes1", "boxes2", "labels1", "labels2", "points1", "points2", "mask1", "mask2"]
    assert list(both) == names
    transforms = {"image": crop, "boxes": [sh.SanitizeBoundingBoxes(min_size=3, labels=["labels", "points"])]}
    alone = rows(loader(source, transforms))
    for name in alone:
        view = "view" if name == "image" else name
        assert_same(both[f"{view}1"], alone[name])
        assert any(not np.array_equal(*pair) for pair in zip(both[f"{view}2"], alone[name], strict=True))
    assert sum(map(len, both["labels1"])) < sum(1 + at % 4 for at in range(ROWS))
    with pytest.raises(ValueError, match="there is no field `other` to draw as"):
        loader(source, of(1), draws={"view1": "other"})


def test_a_composition_may_make_a_view(paths: list[Path]) -> None:
    composed = rows(loader(table(paths), {"view1": sh.View("image", sh.Compose(GLOBAL))}))
    assert_same(composed["view1"], rows(loader(table(paths), {"view1": sh.View("image", GLOBAL)}))["view1"])
    crops = rows(loader(table(paths), {"five": sh.View("image", [sh.Resize((40, 40)), sh.FiveCrop(20)]), **TWO}))
    assert {row.shape for row in crops["five"]} == {(5, 20, 20, 3)}
    assert_same(crops["view1"], composed["view1"])


def test_arrays_in_memory_have_views_too() -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (9, 32, 30, 3), np.uint8)
    source = sh.Arrays({"image": pixels, "label": np.arange(9)})
    found = rows(
        loader(source, {"a": sh.View("image", LOCAL), "b": sh.View("image", LOCAL), "again": sh.View("label")})
    )
    assert list(found) == ["a", "b", "again"]
    assert any(not np.array_equal(*pair) for pair in zip(found["a"], found["b"], strict=True))
    assert_same(found["a"], rows(loader(source, {"a": sh.View("image", LOCAL)}))["a"])


class Sentences:
    """Samples that vary in length, and images."""

    def __len__(self) -> int:
        return 7

    def __getitem__(self, index: int) -> dict[str, Any]:
        image = np.full((20, 20, 3), index, np.uint8)
        return {"tokens": np.arange(1 + index % 4), "image": image}


def halved(image: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    return image[::2, ::2]


def test_datasets_and_functions_have_views_too() -> None:
    views = {"a": sh.View("image", [halved]), "b": sh.View("image", LOCAL), "tail": sh.View("tokens"), "tokens": []}
    with loader(Sentences(), views, num_workers=1, shuffle=False) as found:
        fields = rows(found)
    assert [len(row) for row in fields["tail"]] == [1, 2, 3, 4, 1, 2, 3]
    assert_same(fields["tail"], fields["tokens"])
    assert {row.shape for row in fields["a"]} == {(10, 10, 3)}
    assert [int(row[0, 0, 0]) for row in fields["b"]] == list(range(7))


def test_a_map_gets_the_views(paths: list[Path]) -> None:
    def told(sample: dict[str, Any]) -> dict[str, Any]:
        return {"names": " ".join(sample), "mean": sample["view1"].mean() - sample["view2"].mean()}

    with loader(table(paths), [TWO, sh.Map(told)], num_workers=1) as found:
        batch = next(iter(found))
    assert {bytes(row).decode() for row in batch["names"]} == {"label view1 view2"}
    assert np.all(batch["mean"] != 0)


def test_mistakes_are_named_at_once(paths: list[Path]) -> None:
    square: list[Any] = [sh.Resize((8, 8))]
    source, given = detection(paths), sh.View("image", square)
    rest = {"boxes1": sh.View("boxes", image="a"), "points1": sh.View("points", image="a")}
    for transforms, message in (
        ({"a": sh.View("picture")}, "view `a`: there is no field `picture` to be seen; the source has `image`"),
        ({"mask": given}, "view `mask` of `image`: there is a field of that name already"),
        ({"a": given}, "field `boxes` follows `image`, of which there are views alone: make a view of it that follows"),
        ({"a": given} | rest, 'View("mask", image="a")'),
        ({"a": given, "m": sh.View("labels", image="a")}, 'view `m`: `labels` follows no image, and image="a" is for'),
        ({"image": square, "m": sh.View("mask", image="a")}, "field `m` belongs to `a`, which is no encoded image"),
        (
            {"a": sh.View("image", [sh.CenterCrop(4), sh.DecodeImage()]), "image": square},
            "field `a`: transform 1: DecodeImage",
        ),
        ({"a": sh.View("image", [sh.Resize(8)]), "image": square}, "field `a` has no fixed size"),
    ):
        with pytest.raises(ValueError, match=re.escape(message)):
            loader(source, transforms)
    wrong: Any = sh.Resize(8)
    with pytest.raises(TypeError, match="View: transforms must be a list of transforms, not Resize"):
        sh.View("image", wrong)
    wrong = 3
    with pytest.raises(TypeError, match="View: of must be the name of a field, not 3"):
        sh.View(wrong)
    with pytest.raises(TypeError, match="View: image must be the name of a field, not 3"):
        sh.View("mask", image=wrong)
    with pytest.raises(TypeError, match=r"transforms\['a'\]\[0\] must be a transform or a function, not 'Resize'"):
        loader(source, {"a": sh.View("image", ["Resize"])})  # type: ignore[list-item]
    assert repr(sh.View("mask", image="a")) == "View('mask', [], image='a')"


@pytest.mark.parametrize("workers", [0, 1])
def test_a_view_that_cannot_be_made_is_named(paths: list[Path], workers: int) -> None:
    small = sh.View("image", [sh.DecodeImage(max_pixels=1), sh.CenterCrop(4)])
    views = {"whole": sh.View("image", [sh.CenterCrop(4)]), "small": small}
    source = sh.Table({"image": sh.Images(paths[:1])})
    with (
        sh.Loader(source, num_workers=workers, transforms=views) as loader,
        pytest.raises(sh.DecodeError, match="more than the limit of 1 pixels") as caught,
    ):
        next(iter(loader))
    assert caught.value.key == str(paths[0])
