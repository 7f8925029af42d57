"""Batches of several variants: each is what its own transforms make, however it is made."""

from __future__ import annotations

import os
import pickle
import re
import signal
from collections import Counter
from collections.abc import Callable, Iterable
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import stokehold as sh

Image = pytest.importorskip("PIL.Image")

LEN, SEED = 61, 5
SIZES, ROWS = (16, 24, 40), [6, 4, 2]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> sh.Table:
    """Noise of different sizes, with everything that follows an image."""
    root, draws = tmp_path_factory.mktemp("scales"), np.random.default_rng(2)
    images, masks, boxes = [], [], []
    for at in range(LEN):
        height, width = 30 + at % 7, 50 - at % 11
        images.append(root / f"{at}.png")
        Image.fromarray(draws.integers(0, 256, (height, width, 3), np.uint8)).save(images[-1])
        masks.append(root / f"{at}.mask.png")
        Image.fromarray(draws.integers(0, 9, (height, width), np.uint8)).save(masks[-1])
        corners = np.sort(draws.uniform(0, 1, (at % 5, 2, 2)), axis=1) * [width, height]
        boxes.append(corners.reshape(-1, 4).astype(np.float32))
    return sh.Table(
        {
            "image": sh.Images(images),
            "mask": sh.Masks(masks),
            "boxes": sh.BoundingBoxes(boxes, "XYXY"),
            "labels": sh.Lists([np.arange(len(row)) for row in boxes], np.int64),
            "points": sh.KeyPoints([row.reshape(-1, 2, 2) for row in boxes]),
            "label": np.arange(LEN),
        }
    )


def transforms(size: int) -> dict[str, Any]:
    finish = [sh.ToDtype("float32", scale=True), sh.ToLayout("CHW")]
    return {"image": [sh.RandomResizedCrop(size), sh.RandomHorizontalFlip(), *finish]}


def scales(**options: Any) -> sh.MultiScale:
    given: dict[str, Any] = {"batch_sizes": ROWS}
    return sh.MultiScale([transforms(size) for size in SIZES], **given | options)


def loader(source: Any, cut: sh.Cut | None = None, **options: Any) -> sh.Loader:
    given: dict[str, Any] = {"seed": SEED, "num_workers": 0, "shuffle": True, "cut": cut or scales()}
    return sh.Loader(source, **given | options)


def rows_of(field: Any) -> list[np.ndarray[Any, Any]]:
    return [np.asarray(row) for row in field]


def bytes_of(given: Iterable[sh.Batch]) -> list[Any]:
    def of(batch: sh.Batch) -> dict[str, Any]:
        return {name: [(row.shape, row.tobytes()) for row in rows_of(batch[name])] for name in batch}

    return [(b.epoch, b.variant, b.indices.tolist(), b.valid.tolist(), of(b)) for b in given]


def test_a_batch_is_what_its_transforms_make(source: sh.Table) -> None:
    alone = [sh.Loader(source, seed=SEED, num_workers=0, transforms=transforms(size)) for size in SIZES]
    variants: Counter[int] = Counter()
    given = loader(source)
    for batch in given:
        variants[batch.variant] += 1
        size = SIZES[batch.variant]
        assert batch["image"].shape == (batch.rows, 3, size, size)
        assert batch["mask"].shape == (batch.rows, size, size)
        assert all(batch[name].flags.c_contiguous for name in ("image", "mask"))
        assert batch.rows == ROWS[batch.variant] or variants.total() == len(given)
        for row, index in enumerate(batch.indices):
            expected = alone[batch.variant].sample(int(index), epoch=0)
            assert set(expected) == set(batch)
            for name, value in expected.items():
                assert np.asarray(batch[name][row]).tobytes() == np.asarray(value).tobytes(), name
    assert set(variants) == {0, 1, 2}


def test_any_number_of_workers_makes_the_same_batches(source: sh.Table) -> None:
    single = loader(source)
    expected = [bytes_of(single) for _ in range(3)]
    orders = [[variant for _, variant, *_ in epoch] for epoch in expected]
    assert orders[0] != orders[1] != orders[2]
    for workers, threads in ((1, 1), (2, 2), (4, 1)):
        with loader(source, num_workers=workers, threads_per_worker=threads) as given:
            assert [bytes_of(given) for _ in range(3)] == expected


class Halved:
    """A function of which nobody says what it gives."""

    def __init__(self, size: int) -> None:
        self.size = size

    def __call__(self, image: Any) -> Any:
        return np.ascontiguousarray(image[: self.size, : self.size].transpose(2, 0, 1)).astype(np.float32)


@pytest.mark.parametrize("start", ["forkserver", "fork", "spawn"])
def test_functions_and_datasets_of_python_have_variants(start: Any) -> None:
    images = np.random.default_rng(1).integers(0, 256, (30, 12, 12, 3), np.uint8)
    dataset = [{"image": image, "tokens": np.arange(at % 7)} for at, image in enumerate(images)]
    cut = sh.MultiScale([{"image": [Halved(size)]} for size in (8, 4)], [2, 5])
    expected = bytes_of(single := loader(dataset, cut, capacity={"tokens": 7}))
    assert single.spec["image"] == ("float32", (3, None, None), None)
    for batch in single:
        size = (8, 4)[batch.variant]
        assert (batch["image"] == images[batch.indices, :size, :size].transpose(0, 3, 1, 2)).all()
        assert [row.tolist() for row in batch["tokens"]] == [list(range(int(at) % 7)) for at in batch.indices]
    with loader(dataset, cut, capacity={"tokens": 7}, num_workers=2, start=start) as given:
        assert bytes_of(given) == expected


@pytest.mark.parametrize("workers", [0, 2])
def test_rows_get_more_room_in_each_variant(workers: int) -> None:
    images = np.random.default_rng(1).integers(0, 256, (40, 12, 12, 3), np.uint8)
    # Those that are tried say that lengths vary, and not how much.
    lengths = [300 if at == 37 else 1 + at % 2 for at in range(40)]
    dataset = [{"image": image, "tokens": np.arange(n)} for image, n in zip(images, lengths, strict=True)]
    cut = sh.MultiScale([{"image": [sh.Resize((size, size))]} for size in (8, 4)], [2, 5])
    seen = []
    with loader(dataset, cut, num_workers=workers) as given:
        for batch in given:
            seen += batch.indices.tolist()
            assert batch["image"].shape[1:3] == ((8, 8), (4, 4))[batch.variant]
            assert [len(row) for row in batch["tokens"]] == [lengths[at] for at in batch.indices]
    assert sorted(seen) == list(range(40))


def test_a_kill_changes_nothing(source: sh.Table) -> None:
    single = loader(source)
    expected = [bytes_of(single) for _ in range(4)]
    with loader(source, num_workers=2) as given:
        found = []
        for _ in range(4):
            batches = iter(given)
            os.kill(given.stats()["workers"][0]["pid"], signal.SIGKILL)
            found.append(bytes_of(batches))
        assert found == expected


@settings(deadline=None, max_examples=40)
@given(
    stop=st.integers(0, 30),
    before=st.integers(1, 4),
    after=st.integers(1, 4),
    epoch=st.integers(0, 3),
    repeat=st.integers(1, 5),
)
def test_the_rest_is_read_once_by_any_number_of_ranks(
    stop: int, before: int, after: int, epoch: int, repeat: int
) -> None:
    table = sh.Arrays({"x": np.arange(LEN)})

    def ranks(world: int) -> list[sh.Loader]:
        cut = sh.MultiScale([{}, {}, {}], ROWS, repeat=repeat)
        return [loader(table, cut, world_size=world, even="uneven", rank=rank) for rank in range(world)]

    seen: list[int] = []
    state: dict[str, Any] = {}
    for rank in ranks(before):
        rank.set_epoch(epoch)
        for batch in islice(rank, min(stop, len(rank))):
            seen += batch["x"].tolist()
        # Rank 0 is the last one to come to an epoch's end.
        state = state or rank.state_dict()
    for rank in ranks(after):
        rank.load_state_dict(state)
        seen += [int(value) for batch in rank for value in batch["x"]]
    if state["cursor"] or state["epoch"] == epoch:
        assert sorted(seen) == list(range(LEN))


@pytest.mark.parametrize("even", ["pad", "drop", "uneven"])
def test_ranks_share_out_an_epoch_and_have_the_same_variant_at_each_step(source: sh.Table, even: Any) -> None:
    ranks = [loader(source, scales(repeat=3), even=even, rank=rank, world_size=3) for rank in range(3)]
    told = ranks[0].audit()
    got = [list(rank) for rank in ranks]
    assert [len(batches) for batches in got] == [share["batches"] for share in told["ranks"]]
    counts = Counter(int(index) for batches in got for batch in batches for index in batch.indices[batch.valid])
    assert max(counts.values()) == 1
    assert len(counts) + told["left_out"] == LEN
    steps = list(zip(*got, strict=False))
    whole = [step for step in steps if all(batch.valid.all() for batch in step)]
    assert len(whole) >= len(steps) - 1 > 2
    assert all(len({batch.variant for batch in step}) == 1 for step in whole)
    full = [loader(source, scales(repeat=3), drop_last=True, rank=rank, world_size=3) for rank in range(3)]
    shapes = [[(batch.variant, batch["image"].shape) for batch in rank] for rank in full]
    assert len(shapes[0]) > 2
    assert shapes[0] == shapes[1] == shapes[2]


def test_a_batch_and_a_sample_are_made_again(source: sh.Table) -> None:
    with loader(source, num_workers=2) as given:
        given.set_epoch(3)
        for number, batch in enumerate(given):
            again = given.replay(3, number)
            assert bytes_of([again]) == bytes_of([batch])
            sample = given.sample(int(batch.indices[-1]), epoch=3, variant=batch.variant)
            assert sample["image"].tobytes() == batch["image"][-1].tobytes()
        with pytest.raises(TypeError, match="variant must be an integer"):
            given.sample(0)
        with pytest.raises(ValueError, match="variant must be 0 to 2, not 3"):
            given.sample(0, variant=3)
    with pytest.raises(ValueError, match="variant must be None, not 1, as batches have no variants"):
        sh.Loader(source, num_workers=0, transforms=transforms(8)).sample(0, variant=1)
    same = loader(source, scales(batch_sizes=None), batch_size=5)
    assert bytes_of([same.replay(0, 3)]) == bytes_of(same)[3:4]


def test_bad_samples_go_by_what_is_chosen(tmp_path: Path) -> None:
    for at in range(20):
        Image.fromarray(np.full((20, 20, 3), at, np.uint8)).save(tmp_path / f"{at:02}.png")
    (tmp_path / "07.png").write_bytes(b"none")
    files = sh.Table({"image": sh.Images(sorted(tmp_path.iterdir()))})
    cut = sh.MultiScale([{"image": [sh.Resize((size, size))]} for size in (8, 4)], [2, 3])
    batches = iter(loader(files, cut))
    with pytest.raises(sh.DecodeError, match=r"07\.png"):
        list(batches)
    assert all(7 not in batch.indices for batch in batches)
    for policy in ("skip", "replace"):
        expected = bytes_of(loader(files, cut, on_error=policy))
        with loader(files, cut, on_error=policy, num_workers=2) as given:
            found = list(given)
            assert bytes_of(found) == expected
            assert given.stats()["failed_samples"] == 1
        assert all((batch["image"] == batch.indices[:, None, None, None]).all() for batch in found)
        assert [b.indices[~b.valid].size for b in found].count(1) == 1
        assert sorted(int(at) for b in found for at in b.indices[b.valid]) == [at for at in range(20) if at != 7]
    order = np.concatenate([batch.indices for batch in loader(files, cut, on_error="skip")]).tolist()
    at = next(at for at, index in enumerate(order) if order.count(index) == 2)
    assert order[at] == order[at + 1], "the next sample of the order stands in"


@pytest.mark.parametrize("workers", [0, 2])
def test_whole_batches_are_mixed(source: sh.Table, workers: int) -> None:
    plain = list(loader(source))
    mixed = [sh.MixUp(num_classes=LEN)]
    with loader(source, batch_transforms=mixed, num_workers=workers) as given:
        for batch, before in zip(given, plain, strict=True):
            assert batch["label"].shape == (before.rows, LEN)
            weights = batch["label"][:, before["label"]]
            image = np.einsum("ij,jchw->ichw", weights, before["image"])
            np.testing.assert_allclose(batch["image"], image, atol=1e-5)


def test_samples_are_put_together_in_each_variant(tmp_path: Path) -> None:
    for at in range(8):
        pixels = np.random.default_rng(at).integers(0, 256, (20, 30, 3), np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{at}.png")
    images = sh.Table({"image": sh.Images(sorted(tmp_path.iterdir()))})

    def mosaic(size: int) -> list[sh.Transform]:
        return [sh.Mosaic(size, labels=[]), sh.Resize((size, size)), sh.ToLayout("CHW")]

    cut = sh.MultiScale([{"image": mosaic(size)} for size in (16, 24)], [2, 3])
    alone = [sh.Loader(images, seed=SEED, num_workers=0, transforms={"image": mosaic(size)}) for size in (16, 24)]
    with loader(images, cut, num_workers=2) as given:
        for batch in given:
            for row, index in zip(batch["image"], batch.indices, strict=True):
                expected = alone[batch.variant].sample(int(index), epoch=0)["image"]
                assert row.tobytes() == expected.tobytes()


def test_views_are_made_in_each_variant(source: sh.Table) -> None:
    def both(size: int) -> dict[str, Any]:
        return transforms(size) | {"small": sh.View("image", transforms(size // 2)["image"])}

    cut = sh.MultiScale([both(size) for size in SIZES], ROWS)
    for batch in loader(source, cut):
        size = SIZES[batch.variant]
        assert (batch["image"].shape[-1], batch["small"].shape[-1]) == (size, size // 2)


def test_other_fields_keep_the_transforms_of_the_loader() -> None:
    image = np.zeros((9, 20, 20, 3), np.uint8)
    arrays = sh.Arrays({"image": image, "x": image})
    cut = sh.MultiScale([{"image": [sh.Resize((size, size))]} for size in (8, 4)])
    given = loader(arrays, cut, transforms={"x": [sh.ToDtype("float16")]}, batch_size=4, output="torch")
    assert given.spec == {"image": ("uint8", (None, None, 3), None), "x": ("float16", (20, 20, 3), None)}
    assert "image: uint8[None, None, 3]" in repr(given)
    batches = list(given)
    assert [batch.rows for batch in batches] == [4, 4, 1]
    assert all(batch["x"].dtype == torch.float16 for batch in batches)
    copied = pickle.loads(pickle.dumps(batches[0]))  # noqa: S301 (made above)
    assert copied.variant == batches[0].to("cpu").variant == batches[0].variant
    with pytest.raises(AttributeError, match="no lengths: its loader has no cut by lengths"):
        _ = batches[0].lengths
    with pytest.raises(AttributeError, match="no variant: its loader's cut is no MultiScale"):
        _ = next(iter(sh.Loader(arrays, num_workers=0))).variant


def test_a_slot_has_room_for_the_largest_batch_alone() -> None:
    arrays = sh.Arrays({"image": np.zeros((99, 20, 20, 3), np.uint8)})
    cut = sh.MultiScale([{"image": [sh.Resize((size, size))]} for size in (10, 100, 20)], [100, 1, 25])
    stats = loader(arrays, cut, prefetch=1).stats()
    assert stats["arena_bytes"] / stats["slots"] < 100 * 100 * 3 + 8192


@pytest.mark.parametrize(
    "order", [sh.Repeated(2), sh.Weighted(np.arange(LEN), 100), sh.Explicit(np.arange(LEN)[::-1])], ids=repr
)
def test_scales_go_with_every_order(source: sh.Table, order: sh.Order) -> None:
    expected = bytes_of(single := loader(source, order=order, shuffle=False))
    assert sum(len(indices) for _, _, indices, *_ in expected) == single.audit()["positions"]
    with loader(source, order=order, shuffle=False, num_workers=2) as given:
        assert bytes_of(given) == expected


def test_sizes_and_repeats_may_change_in_the_middle_of_an_epoch(source: sh.Table) -> None:
    first = loader(source)
    begun = [index for batch in islice(first, 3) for index in batch.indices.tolist()]
    state = first.state_dict()
    for other in (scales(repeat=2), scales(batch_sizes=[6, 4, 3])):
        second = loader(source, other)
        second.load_state_dict(state)
        rest = list(second)
        assert begun + [index for batch in rest for index in batch.indices.tolist()] == [
            index for batch in loader(source) for index in batch.indices.tolist()
        ]
        sizes = other.batch_sizes or []
        assert all(len(batch.indices) == sizes[batch.variant] for batch in rest[:-1])
    with pytest.raises(ValueError, match="MultiScale"):
        sh.Loader(source, num_workers=0, seed=SEED, shuffle=True, transforms=transforms(8)).load_state_dict(state)


def refused(kind: type[Exception], message: str, make: Callable[[], object]) -> None:
    with pytest.raises(kind, match=re.escape(message)):
        make()


def test_what_cannot_be_is_refused(source: sh.Table) -> None:
    mapping = "a sequence of mappings of fields to lists of transforms"
    refused(TypeError, f"MultiScale: transforms must be {mapping}, one for each", lambda: sh.MultiScale(transforms(8)))  # type: ignore[arg-type]
    entry = "MultiScale: transforms[0] must be a mapping of fields to lists of transforms, not"
    refused(TypeError, entry, lambda: sh.MultiScale([[sh.Resize(8)]]))  # type: ignore[list-item]
    refused(TypeError, "MultiScale: transforms[0]['image'] must be", lambda: sh.MultiScale([{"image": sh.Resize(8)}]))  # type: ignore[dict-item]
    refused(TypeError, "MultiScale: transforms[1]['image'][0] must be", lambda: sh.MultiScale([{}, {"image": [3]}]))  # type: ignore[list-item]
    refused(ValueError, "MultiScale: transforms must have at least one variant", lambda: sh.MultiScale([]))
    refused(ValueError, "batch_sizes must be one for each variant, 3, not 2", lambda: scales(batch_sizes=[1, 2]))
    refused(ValueError, "MultiScale: batch_sizes[1] must be 1 to", lambda: scales(batch_sizes=[1, 0, 2]))
    refused(TypeError, "MultiScale: batch_sizes must be a sequence of integers", lambda: scales(batch_sizes=4))
    refused(ValueError, "MultiScale: repeat must be 1 to", lambda: scales(repeat=0))
    view = {"small": sh.View("image", [sh.Resize((4, 4))])}
    refused(ValueError, "must have the same views", lambda: sh.MultiScale([transforms(8), transforms(8) | view]))
    refused(ValueError, "batch_size must be left out, not 4", lambda: loader(source, batch_size=4))
    refused(ValueError, "batch_size must be a number, not None", lambda: loader(source, batch_size=None))
    both = "MultiScale: transforms[0]: transforms of `image` stand in those of the loader too: leave one out"
    refused(ValueError, both, lambda: loader(source, transforms=transforms(8)))
    plain = {"image": [sh.RandomResizedCrop(8), sh.ToLayout("CHW")]}
    other = "MultiScale: transforms[1]: field image: uint8[3, 8, 8], where transforms[0] gives image: float32[3, 8, 8]"
    refused(ValueError, other, lambda: loader(source, sh.MultiScale([transforms(8), plain])))
    dataset = [{"image": np.zeros((8, 8, 3), np.uint8)}] * 9
    axes = sh.MultiScale([{"image": [Halved(4)]}, {"image": [np.ravel]}])
    told = "MultiScale: transforms[1]: field image: uint8[192], where transforms[0] gives image: float32[3, 4, 4]"
    refused(ValueError, told, lambda: loader(dataset, axes))
    refused(ValueError, told, lambda: loader(dataset, axes, num_workers=2))
    small = {"small": sh.View("label", [])}
    fewer = sh.MultiScale([small | {"label": []}, small])
    refused(
        ValueError,
        "MultiScale: transforms[1]: gives the fields",
        lambda: loader(source, fewer, transforms=transforms(8)),
    )
    unknown = sh.MultiScale([{"photo": [sh.Resize((4, 4))]}])
    refused(
        ValueError,
        "MultiScale: with transforms[0]: transforms: there is no field `photo`",
        lambda: loader(source, unknown),
    )
