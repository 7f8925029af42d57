"""Functions of users among transforms, in the native pool."""

from __future__ import annotations

import gc
import random
import threading
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import functions
import stokehold as sh
from functions import AtFive, Noise
from support import Strikes, value, values

IMAGES = np.random.default_rng(0).integers(0, 256, (23, 12, 10, 3), np.uint8)
IMAGES[:, 0, 0, 0] = np.arange(23)


def source() -> sh.Arrays:
    return sh.Arrays({"image": IMAGES, "label": np.arange(23)})


def loader(transforms: Any, **options: Any) -> sh.Loader:
    given: dict[str, Any] = {"batch_size": 4, "shuffle": True, "seed": 5, "num_workers": 0}
    chains = transforms if isinstance(transforms, dict) else {"image": transforms}
    return sh.Loader(source(), transforms=chains, **given | options)


def images(transforms: Any, **options: Any) -> Any:
    """All images of an epoch, in the order of the source."""
    with loader(transforms, shuffle=False, **options) as made:
        return np.concatenate([batch["image"] for batch in made])


def test_a_function_stands_anywhere_among_transforms() -> None:
    flip, norm = sh.RandomHorizontalFlip(), sh.Normalize([0.5], [0.25])
    chw = sh.ToLayout("CHW")
    native = images([flip, norm, chw])
    for at in range(4):
        chain: list[Any] = [flip, norm, chw]
        chain.insert(at, functions.same)
        assert np.array_equal(images(chain), native)
    assert np.array_equal(images([functions.inverted]), 255 - IMAGES)
    assert np.array_equal(images([flip, functions.inverted, functions.inverted]), images([flip]))


def test_what_it_gives_is_learned() -> None:
    with loader([functions.halved]) as made:
        assert made.spec["image"] == ("uint8", (6, 10, 3), None)
    with loader([functions.mean]) as made:
        assert made.spec["image"] == ("float64", (), None)
    with loader({"label": [lambda label: np.eye(23, dtype=np.float32)[label]]}) as made:
        assert made.spec["label"] == ("float32", (23,), None)
        assert all(np.array_equal(batch["label"].argmax(1), batch.indices) for batch in made)


def test_images_of_any_size_stay_so(folder: Path) -> None:
    def sizes(**options: Any) -> list[tuple[int, ...]]:
        with sh.Loader(sh.ImageFolder(folder), num_workers=0, **options) as made:
            return [row.shape for batch in made for row in batch["image"]]

    capacity = {"image": 10_000}
    native = sizes(capacity=capacity)
    assert len(set(native)) > 1
    assert sizes(capacity=capacity, transforms={"image": [functions.same]}) == native
    cut = [functions.halved, sh.CenterCrop(16)]
    assert set(sizes(transforms={"image": cut})) == {(16, 16, 3)}
    with pytest.raises(ValueError, match=r"\[\?, \?, 3\]: give capacity\[\"image\"\]"):
        sizes(transforms={"image": [functions.same]})


@pytest.mark.parametrize("workers", [0, 2])
def test_what_was_not_learned_is_a_bad_sample(workers: int) -> None:
    def sometimes(array: Any) -> Any:
        return array[:3] if array.flat[0] == 5 else array

    chain = [sh.RandomVerticalFlip(0), sometimes]
    with loader(chain, shuffle=False, num_workers=workers) as made, pytest.raises(sh.DecodeError) as caught:
        list(made)
    message = str(caught.value)
    assert "sample 5" in message
    assert "field `image`: transform 1: `" in message
    assert "gave uint8 of shape [3, 10, 3], and uint8 of shape [12, 10, 3] is what it gave before" in message
    declared = sh.Call(sometimes, dtype="uint8", shape=(None, 10, 3))
    with loader([declared], capacity={"image": 12}, shuffle=False) as made:
        assert [len(row) for batch in made for row in batch["image"]][4:7] == [12, 3, 12]


def test_arguments_are_checked_where_they_are_given() -> None:
    refused: list[tuple[Any, type[Exception], str]] = [
        (lambda: sh.Call(3), TypeError, "Call: function must be something to call, not 3"),  # type: ignore[arg-type]
        (lambda: sh.Call(Noise), TypeError, "Call: function must be"),
        (lambda: sh.Call(functions.same, dtype="uint9"), ValueError, "uint9"),
        (
            lambda: sh.Call(functions.same, shape=(-1,)),
            ValueError,
            r"Call: shape\[0\] must be 0 or more, or None, not -1",
        ),
        (lambda: sh.Call(functions.same, shape="CHW"), TypeError, "Call: shape must be a sequence"),  # type: ignore[arg-type]
        (
            lambda: sh.Call(functions.same, shape=(1.5,)),  # type: ignore[arg-type]
            TypeError,
            r"shape\[0\] must be an integer, 0 or more, or None, not 1.5",
        ),
        (lambda: sh.Call(functions.same, takes="jax"), ValueError, "takes must be one of 'array'"),  # type: ignore[arg-type]
        (lambda: sh.Call(functions.same, moves_pixels=2), TypeError, "moves_pixels must be"),  # type: ignore[arg-type]
        (lambda: sh.Map("f"), TypeError, "Map: function must be something to call, not 'f'"),  # type: ignore[arg-type]
        (lambda: loader([Noise]), TypeError, "must be a transform or a function, not the class Noise: make one"),
        (lambda: loader([], batch_transforms=[3]), TypeError, r"batch_transforms\[0\] must be"),
        (lambda: loader([functions.same], threads_per_worker=2), ValueError, "threads_per_worker must be 1"),
    ]
    for call, kind, words in refused:
        with pytest.raises(kind, match=words):
            call()
    assert repr(sh.Call(functions.same, takes="array", moves_pixels=False)) == (
        "Call(same, takes='array', moves_pixels=False)"
    )


def test_what_is_no_array_is_refused() -> None:
    for function, words in [
        (functions.listed, "gave a list, and must give an array"),
        (functions.nothing, "gave None, and must give an array: one that is changed in place is given back too"),
        (lambda array: array.astype(object), "gave an array of object"),
    ]:
        with pytest.raises(TypeError, match=words):
            loader([function])


def test_an_array_that_is_kept_keeps_its_memory() -> None:
    functions.KEPT.clear()
    assert images([sh.RandomVerticalFlip(), functions.kept]).all()
    assert len(functions.KEPT) >= 23
    first = functions.KEPT[0][0]
    assert first.flags.writeable
    assert first.flags.aligned
    assert first.flags.c_contiguous
    functions.KEPT.clear()


@pytest.fixture(scope="module")
def undisturbed() -> list[Any]:
    with loader([sh.RandomVerticalFlip(), functions.drawn, Noise()]) as made:
        return values(made, epochs=2)


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_bytes_do_not_depend_on_the_number_of_workers(undisturbed: list[Any], workers: int) -> None:
    with loader([sh.RandomVerticalFlip(), functions.drawn, Noise()], num_workers=workers) as made:
        assert values(made, epochs=2) == undisturbed


@pytest.mark.parametrize("start", ["fork", "spawn"])
def test_bytes_do_not_depend_on_how_workers_start(undisturbed: list[Any], start: Any) -> None:
    with loader([sh.RandomVerticalFlip(), functions.drawn, Noise()], num_workers=2, start=start) as made:
        assert values(made, epochs=2) == undisturbed


def test_each_sample_draws_other_numbers(undisturbed: list[Any]) -> None:
    with loader([lambda array: (functions.drawn(array) - array)[0, 0]]) as made:
        drawn = [tuple(row) for _ in range(2) for batch in made for row in batch["image"]]
    assert len(set(drawn)) == len(drawn) == 46
    assert undisturbed[0] != undisturbed[6]


def test_bytes_do_not_depend_on_workers_that_are_killed(undisturbed: list[Any]) -> None:
    with loader([sh.RandomVerticalFlip(), functions.drawn, Noise()], num_workers=3) as made:
        strikes, found = Strikes(made), []
        for _ in range(2):
            for batch in made:
                strikes.delivered()
                found.append(value(batch))
                strikes.kill(1)
        assert strikes.killed
    assert found == undisturbed


def test_an_epoch_is_resumed_with_other_workers(undisturbed: list[Any]) -> None:
    chain = [sh.RandomVerticalFlip(), functions.drawn, Noise()]
    with loader(chain, num_workers=1) as made:
        batches = iter(made)
        next(batches), next(batches)
        state = made.state_dict()
    with loader(chain, num_workers=2) as made:
        made.load_state_dict(state)
        assert values(made) == undisturbed[2:6]


def test_the_trainers_own_random_numbers_stay_as_they_are() -> None:
    random.seed(1)
    np.random.seed(1)  # noqa: NPY002
    before = random.getstate(), np.random.get_state()[1].tolist()  # type: ignore[index] # noqa: NPY002
    images([functions.drawn])
    assert before == (random.getstate(), np.random.get_state()[1].tolist())  # type: ignore[index] # noqa: NPY002


@pytest.mark.parametrize("workers", [0, 2])
def test_an_exception_arrives_as_it_was_raised(workers: int) -> None:
    chain = [sh.RandomVerticalFlip(0), AtFive(functions.boom)]
    with loader(chain, shuffle=False, num_workers=workers) as made:
        with pytest.raises(LookupError, match="sample five is cursed") as caught:
            list(made)
        told = caught.value.stokehold_sample  # type: ignore[attr-defined]
        assert (told["index"], told["key"], told["stage"]) == (5, "row 5", "transform")
        assert told["at"] == "field `image`: transform 1: `AtFive`"
        assert (told["worker"] is None) == (workers == 0)
        assert "def boom" not in told["traceback"]
        assert "functions.py" in told["traceback"]
        assert "field `image`: transform 1: `AtFive`" in "".join(caught.value.__notes__)
    assert issubclass(type(caught.value), LookupError)


@pytest.mark.parametrize(
    ("what", "words"),
    [
        (functions.system_exit, "SystemExit: 3"),
        (functions.sys_exit, "SystemExit: 4"),
        (functions.interrupted, "KeyboardInterrupt"),
        (functions.stop_iteration, "StopIteration"),
    ],
)
def test_no_exception_ends_anything_but_its_batch(what: Any, words: str) -> None:
    with loader([AtFive(what)], shuffle=False, num_workers=1) as made:
        batches, failed = iter(made), []
        for _ in range(6):
            try:
                next(batches)
            except RuntimeError as error:
                failed.append(str(error))
        assert len(failed) == 1
        assert words in failed[0]
        assert made.stats()["restarts"] == 0


@pytest.mark.parametrize("what", [functions.ends, functions.killed])
def test_a_sample_that_ends_its_worker_twice_is_poison(what: Any) -> None:
    with loader([AtFive(what)], shuffle=False, num_workers=2, on_error="skip") as made:
        rows = [int(row) for batch in made for row in batch["label"]]
    assert rows == [0, 1, 2, 3, 4, 6, *range(6, 23)]


@pytest.mark.parametrize(
    "what", [functions.forks, functions.threads, functions.moves, functions.closes, functions.leaks]
)
def test_a_function_may_fork_start_threads_move_close_and_leak(what: Any) -> None:
    assert np.array_equal(images([AtFive(what)], num_workers=2), IMAGES)


def test_stuck_workers_are_reported_and_replaced(caplog: pytest.LogCaptureFixture) -> None:
    with loader([AtFive(functions.hangs)], shuffle=False, num_workers=2, stall_timeout=0.5, on_error="skip") as made:
        rows = [int(row) for batch in made for row in batch["label"]]
    assert rows[5] == 6
    assert "stalled" in caplog.text
    assert "in hangs" in caplog.text


def test_what_cannot_be_pickled_is_named() -> None:
    lock = threading.Lock()
    with pytest.raises(TypeError, match=r"functions\[0\].*lock"):
        loader([lambda array: lock and array], num_workers=1)


def test_lists_texts_and_labels_go_through_functions() -> None:
    table = sh.Table(
        {"list": sh.Lists([np.arange(n, dtype=np.int16) for n in range(5)]), "text": ["a", "bc"] * 2 + ["d"]}
    )
    longer = {"list": [lambda array: np.concatenate([array, array])], "text": [lambda array: array[::-1]]}
    capacity = {"list": 8, "text": 2}
    with sh.Loader(table, num_workers=0, batch_size=5, transforms=longer, capacity=capacity) as made:
        (batch,) = made
        assert [row.tolist() for row in batch["list"]][2] == [0, 1, 0, 1]
        assert [bytes(row) for row in batch["text"]] == [b"a", b"cb", b"a", b"cb", b"d"]


def test_masks_follow_an_image_through_functions_that_move_nothing() -> None:
    masks = IMAGES[..., 0] // 64
    table = sh.Table({"image": sh.Images(list(IMAGES)), "mask": sh.Masks(list(masks), image="image")})
    crop = [sh.RandomCrop(6), sh.RandomHorizontalFlip()]

    def both(chain: list[Any]) -> Any:
        with sh.Loader(table, num_workers=0, batch_size=23, transforms={"image": chain}) as made:
            (batch,) = made
            return batch["image"], batch["mask"]

    image, mask = both([sh.Call(functions.inverted, moves_pixels=False), *crop])
    assert np.array_equal((255 - image)[..., 0] // 64, mask)
    image, mask = both([crop[0], sh.Call(functions.inverted, moves_pixels=False), crop[1]])
    assert np.array_equal((255 - image)[..., 0] // 64, mask)
    with pytest.raises(ValueError, match=r"`mask` cannot follow `image` through `inverted`.*Map.*moves_pixels=False"):
        both([functions.inverted, *crop])
    with pytest.raises(sh.DecodeError, match="is said to move no pixels, and gave"):
        both([sh.Call(functions.halved, moves_pixels=False, dtype="uint8", shape=(None, None, 3)), sh.CenterCrop(4)])


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_a_batch_is_changed_in_place(workers: int) -> None:
    options: dict[str, Any] = {"num_workers": workers, "shuffle": False}
    with loader([], batch_transforms=[functions.brighter], **options) as made:
        assert np.array_equal(np.concatenate([batch["image"] for batch in made]), IMAGES + 1)
    with loader([], batch_transforms=[functions.noisy], **options) as made:
        noise = values(made, epochs=2)
    with loader([], batch_transforms=[functions.noisy], num_workers=0, shuffle=False) as made:
        assert values(made, epochs=2) == noise
    assert noise[0][2] != noise[1][2]


@pytest.mark.parametrize("workers", [0, 2])
def test_a_batch_function_keeps_nothing_and_gives_nothing_else(workers: int) -> None:
    for function, words in [
        (functions.keeps_batch, "keeps an array of the batch"),
        (functions.gives_other, "in place"),
    ]:
        with loader([], batch_transforms=[function], num_workers=workers) as made:
            with pytest.raises(TypeError, match=words) as caught:
                next(iter(made))
            assert f"batch transform 0: `{function.__name__}`" in "".join(caught.value.__notes__)
    functions.KEPT.clear()


@pytest.mark.parametrize("workers", [0, 2])
def test_a_map_makes_a_sample_of_a_sample(folder: Path, workers: int) -> None:
    def epoch(workers: int, **options: Any) -> list[Any]:
        transforms: Any = [
            {"image": [sh.RandomCrop(32)]},
            sh.Map(functions.swapped),
            {"picture": [sh.ToDtype("float32", scale=True)]},
        ]
        chosen: dict[str, Any] = {"batch_size": 5, "seed": 3, "num_workers": workers, "transforms": transforms}
        with sh.Loader(sh.ImageFolder(folder), **chosen | options) as made:
            assert list(made.spec) == ["picture", "label", "noise", "name"]
            assert made.spec["picture"] == ("float32", (32, 32, 3), None)
            assert made.classes == sh.ImageFolder(folder).classes
            return values(made, epochs=2)

    found = epoch(workers)
    assert found == epoch(0)
    assert found[0] != found[5]
    with sh.Loader(
        sh.ImageFolder(folder), seed=3, batch_size=5, num_workers=0, transforms={"image": [sh.RandomCrop(32)]}
    ) as made:
        native = next(iter(made))["image"]
    expected = (native[:, ::-1].astype(np.float64) / 255).astype(np.float32)
    picture = np.frombuffer(dict(found[0][2])["picture"], np.float32).reshape(expected.shape)
    assert np.allclose(picture, expected, rtol=0, atol=2**-24)


def test_a_map_gets_tables_and_datasets_too() -> None:
    table = sh.Table({"image": IMAGES, "label": np.arange(23), "text": ["é"] * 23, "raw": [b"\x00"] * 23})

    def seen(sample: dict[str, Any]) -> dict[str, Any]:
        assert sample["text"] == "é"
        assert sample["raw"] == b"\x00"
        return {"image": sample["image"], "label": int(sample["label"])}

    for workers in (0, 2):
        with sh.Loader(table, num_workers=workers, batch_size=23, transforms=[sh.Map(seen)]) as made:
            (batch,) = made
            assert np.array_equal(batch["image"], IMAGES)
            assert batch["label"].tolist() == list(range(23))
    pairs = [(np.full((2, 2), index, np.uint8), index) for index in range(7)]
    swap = sh.Map(lambda sample: {"y": sample["0"], "x": sample["1"]})
    with sh.Loader(pairs, num_workers=0, batch_size=7, transforms=[swap, {"y": [functions.inverted]}]) as made:
        (batch,) = made
        assert batch["x"].tolist() == list(range(7))
        assert batch["y"][3].tolist() == [[252, 252], [252, 252]]


def test_what_a_map_does_wrong_is_told() -> None:
    with sh.Loader(source(), num_workers=2, batch_size=4, transforms=[sh.Map(functions.at_five)]) as made:
        with pytest.raises(LookupError) as caught:
            list(made)
        assert caught.value.stokehold_sample["index"] == 5  # type: ignore[attr-defined]
        assert "in Map(at_five)" in "".join(caught.value.__notes__)
    with pytest.raises(TypeError, match="gave a list, and must give a dict of fields"):
        sh.Loader(source(), num_workers=0, transforms=[sh.Map(functions.no_dict)])
    with pytest.raises(ValueError, match="Maps of a list follow each other"):
        sh.Loader(source(), num_workers=0, transforms=[sh.Map(functions.at_five), {}, sh.Map(functions.at_five)])
    with pytest.raises(ValueError, match="transforms has two mappings at 0 and 1, with no Map between them"):
        sh.Loader(source(), num_workers=0, transforms=[{}, {}, sh.Map(functions.at_five)])
    with pytest.raises(ValueError, match="a Map comes first"):
        sh.Loader([1, 2], num_workers=0, transforms=[{"0": []}, sh.Map(functions.at_five)])


def test_closures_partials_and_lambdas_go_to_workers() -> None:
    def add(number: int, array: Any) -> Any:
        return array + np.uint8(number)

    offset = 3
    chain = [partial(add, 1), lambda array: add(offset, array)]
    assert np.array_equal(images(chain, num_workers=1), IMAGES + 4)
    gc.collect()
