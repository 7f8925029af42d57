"""Sources made of sources: some samples, several sources, more fields."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import stokehold as sh
from stokehold.coco_masks import Segmentations
from support import CROP, order, values

ANY: Any = sh
"""Whatever types say."""

WORKERS = pytest.mark.parametrize("workers", [0, 2])


def loaded(source: sh.Source, workers: int = 0, **options: Any) -> sh.Batch:
    """All samples of a source, in its order."""
    with sh.Loader(source, batch_size=len(source), num_workers=workers, **options) as loader:
        batch: sh.Batch = next(iter(loader))
        return batch


@pytest.fixture(scope="module")
def table() -> sh.Table:
    rows = [np.arange(at) for at in range(6)]
    return sh.Table({"x": np.arange(6) * 10, "t": [str(at) * at for at in range(6)], "l": sh.Lists(rows)})


@WORKERS
@pytest.mark.parametrize(
    ("indices", "expected"),
    [
        ([4, 0, 4], [40, 0, 40]),
        (np.array([5, 1], np.uint8), [50, 10]),
        (range(1, 6, 2), [10, 30, 50]),
        (slice(None, None, -2), [50, 30, 10]),
        ([True, False, False, True, False, False], [0, 30]),
        (np.arange(6) > 3, [40, 50]),
    ],
)
def test_a_selection_has_its_samples(table: sh.Table, workers: int, indices: Any, expected: list[int]) -> None:
    selected = table.select(indices)
    batch = loaded(selected, workers)
    assert (len(selected), batch["x"].tolist()) == (len(expected), expected)
    assert batch.text("t") == [str(x // 10) * (x // 10) for x in expected]
    assert [row.tolist() for row in batch["l"]] == [list(range(x // 10)) for x in expected]
    assert repr(selected) == f"{table!r}.select({len(expected)} of 6)"


def test_what_is_selected_is_filtered_and_split_again(table: sh.Table) -> None:
    source = table.select([5, 4, 3, 2, 1]).filter(lambda x: x > 10, "x").filter([True, False, True, True])
    assert loaded(source)["x"].tolist() == [50, 30, 20]
    assert loaded(source.select(slice(1, None)))["x"].tolist() == [30, 20]
    assert [loaded(part)["x"].tolist() for part in source.split([1, 2], seed=0)] != []


@pytest.mark.parametrize(
    ("indices", "error", "what"),
    [
        ([0, -1], ValueError, "select: index -1 is out of range: there are 6 samples, from 0"),
        ([0, 6], ValueError, "select: index 6 is out of range"),
        (range(-2, 2), ValueError, "select: index -2 is out of range"),
        (np.array([2**63], np.uint64), ValueError, f"select: index {2**63} is out of range"),
        ([], ValueError, "select: indices must have at least one index"),
        (slice(9, None), ValueError, "select: indices must have at least one index"),
        ([1.0], TypeError, "select: indices must be whole numbers in one row, not float64 of shape (1,)"),
        ([[1]], TypeError, "not int64 of shape (1, 1)"),
        (["a"], TypeError, "select: indices must be whole numbers"),
        ("ab", TypeError, "select: indices must be a range, a slice, a sequence or an array of indices, "),
        (3, TypeError, "or of booleans, not 3"),
        ([True], ValueError, "a mask has 1 booleans, and there are 6 samples"),
        ([False] * 6, ValueError, "a mask is true for no sample"),
    ],
)
def test_indices_are_checked(table: sh.Table, indices: Any, error: type[Exception], what: str) -> None:
    with pytest.raises(error, match=re.escape(what)):
        table.select(indices)


@pytest.mark.parametrize(
    ("given", "error", "what"),
    [
        ((lambda x: x > 90, "x"), ValueError, "a mask is true for no sample"),
        ((lambda x: x > 90,), TypeError, "filter: a function needs the field whose values it gets"),
        (([True] * 6, "x"), TypeError, "filter: field = 'x' goes with a function, and which is [True, "),
        (([1] * 6,), TypeError, "filter: which must be booleans, one for each sample: a mask, not int64 of shape (6,)"),
        ((bool, "y"), ValueError, "values: field must be one of 'x', 't', 'l', not 'y'"),
    ],
)
def test_filters_are_checked(table: sh.Table, given: tuple[Any, ...], error: type[Exception], what: str) -> None:
    with pytest.raises(error, match=re.escape(what)):
        table.filter(*given)


def test_values_are_those_of_all_samples(table: sh.Table, folder: Path) -> None:
    assert ANY.Table.values(table, "x").tolist() == [0, 10, 20, 30, 40, 50]
    assert table.values("t") == ["", "1", "22", "333", "4444", "55555"]
    assert [row.tolist() for row in table.values("l")] == [list(range(at)) for at in range(6)]
    arrays = sh.Table({"a": np.arange(6, dtype=np.uint8).reshape(3, 2), "b": [b"x", b"", b"yz"]})
    assert np.asarray(arrays.values("a")).tolist() == [[0, 1], [2, 3], [4, 5]]
    assert arrays.values("b") == [b"x", b"", b"yz"]
    source = sh.ImageFolder(folder)
    assert np.asarray(source.values("label")).tolist() == source.targets
    assert np.asarray(source.select([5, 0]).values("label")).tolist() == [source.targets[5], source.targets[0]]
    boxes = sh.Table({"image": sh.Images([str(folder)] * 2), "boxes": sh.BoundingBoxes([[[1, 2, 3, 4]], []])})
    assert [row.tolist() for row in boxes.values("boxes")] == [[[1, 2, 3, 4]], []]
    masks = sh.Table({"image": sh.Images([str(folder)]), "masks": Segmentations([(2, 2, [])], merged=False)})
    with pytest.raises(ValueError, match="values: the field `masks` is a segmentation"):
        masks.values("masks")
    with pytest.raises(ValueError, match="the field image: encoded image has no values before it is decoded"):
        boxes.values("image")


def test_parts_are_disjoint_and_stay(table: sh.Table) -> None:
    source = sh.Arrays({"x": np.arange(1000)})
    first, rest = source.split([0.9, 0.1], seed=3)
    one, other = (loaded(part)["x"].tolist() for part in (first, rest))
    assert (len(one), len(other)) == (900, 100)
    assert sorted(one + other) == list(range(1000))
    assert (one, other) == (sorted(one), sorted(other))
    # The legacy generator's numbers stay, whatever the version.
    assert other[:5] == np.sort(np.random.RandomState([3, 0]).permutation(1000)[900:])[:5].tolist()
    assert loaded(source.split([0.9, 0.1], seed=3)[1])["x"].tolist() == other
    assert loaded(source.split([0.9, 0.1], seed=4)[1])["x"].tolist() != other
    assert [len(part) for part in source.split([500, 300, 200], seed=2**64 - 1)] == [500, 300, 200]
    assert [len(part) for part in table.split([1 / 3] * 3)] == [2, 2, 2]
    assert [len(part) for part in table.select(range(5)).split([0.5, 0.5])] == [3, 2]


@pytest.mark.parametrize(
    ("sizes", "seed", "error", "what"),
    [
        ([0.5, 0.4], 0, ValueError, "split: sizes must be 1 together, not 0.9"),
        ([4, 3], 0, ValueError, "split: sizes must be 6 samples together, not 7"),
        ([0.99, 0.01], 0, ValueError, "split: each part needs at least one sample of 6"),
        ([7, -1], 0, ValueError, "split: each part needs at least one sample"),
        ([], 0, TypeError, "split: sizes must be shares or numbers of samples"),
        (["a"], 0, TypeError, "split: sizes must be shares"),
        ([1.0], -1, ValueError, "split: seed must be 0 to 2**64 - 1, not -1"),
        ([1.0], 2**64, ValueError, "split: seed must be 0 to 2**64 - 1"),
        ([1.0], 0.5, TypeError, "split: seed must be an integer, 0 to 2**64 - 1, not 0.5"),
    ],
)
def test_sizes_are_checked(table: sh.Table, sizes: Any, seed: Any, error: type[Exception], what: str) -> None:
    with pytest.raises(error, match=re.escape(what)):
        table.split(sizes, seed)


@WORKERS
def test_sources_come_one_after_the_other(table: sh.Table, workers: int) -> None:
    longer = sh.Table({"x": np.array([7]), "t": ["a longer text"], "l": sh.Lists([np.arange(9)])})
    source = table.select([1, 2]) + longer + table
    batch = loaded(source, workers)
    assert batch["x"].tolist() == [10, 20, 7, 0, 10, 20, 30, 40, 50]
    assert batch.text("t")[:3] == ["1", "22", "a longer text"]
    assert batch["l"].lengths.tolist() == [1, 2, 9, 0, 1, 2, 3, 4, 5]
    assert repr(sh.concat([table, longer])) == f"({table!r} + {longer!r})"


@WORKERS
def test_folders_and_manifests_go_together(folder: Path, tmp_path: Path, workers: int) -> None:
    whole = sh.ImageFolder(folder)
    lines = "".join(f"{Path(path).relative_to(folder)},{whole.classes[label]}\n" for path, label in whole.samples)
    (tmp_path / "m.csv").write_text("image,label\n" + lines)
    columns = {"image": sh.PathColumn(), "label": sh.LabelColumn()}
    source = sh.concat(
        [whole.select(range(10)), sh.Csv(tmp_path / "m.csv", columns, root=folder).select(range(10, 24))]
    )
    options: dict[str, Any] = {"batch_size": 5, "shuffle": True, "seed": 7, "transforms": {"image": CROP}}

    with (
        sh.Loader(whole, num_workers=0, **options) as expected,
        sh.Loader(source, num_workers=workers, **options) as made,
    ):
        assert made.classes == source.classes == whole.classes
        assert values(made, 2) == values(expected, 2)


@pytest.mark.parametrize(
    ("other", "what"),
    [
        (lambda: sh.Table({"x": np.arange(3)}), "source 1 has no field `t`, as source 0 has"),
        (
            lambda: sh.Table({"x": np.arange(3, dtype=np.int8), "t": ["a"] * 3}),
            "source 1 has the field x: int8[], and ",
        ),
        (lambda: sh.Table({"x": np.zeros((3, 2), int), "t": ["a"] * 3}), "source 1 has the field x: int64[2], and"),
        (lambda: sh.Table({"t": ["a"] * 3, "x": np.arange(3)}), "source 1 has its fields in another order: `t`, `x`"),
        (lambda: sh.Table({"x": [1], "t": ["a"], "u": ["a"]}), "source 1 has the field `u`, which source 0 has not"),
        (lambda: sh.Table({"x": [1], "t": [b"a"]}), "source 1 has the field t: "),
    ],
)
def test_fields_that_differ_are_named(other: Callable[[], sh.Source], what: str) -> None:
    table = sh.Table({"x": np.arange(3), "t": ["a"] * 3})
    with pytest.raises(ValueError, match=re.escape(what)):
        _ = table + other()


def test_classes_that_differ_are_named(tmp_path: Path) -> None:
    sources = []
    for content in ("a\ncat\ndog\n", "a\ncat\neel\n", "a\ncat\n", "a\n1\n"):
        (tmp_path / "m.csv").write_text(content)
        sources.append(sh.Csv(tmp_path / "m.csv", {"a": sh.LabelColumn()}))
    one, other, fewer, numbers = sources
    with pytest.raises(
        ValueError, match="source 1 has other classes of `a` than source 0: class 1 is 'eel', not 'dog'"
    ):
        sh.concat([one, other])
    with pytest.raises(ValueError, match=re.escape("1 of them, not 2; LabelColumn(classes=[...])")):
        sh.concat([one, fewer])
    with pytest.raises(ValueError, match="0 of them, not 2"):
        sh.concat([one, numbers])
    with sh.Loader(one + one, num_workers=0) as loader:
        assert loader.classes == ["cat", "dog"]


def test_only_sources_are_put_together(table: sh.Table) -> None:
    with pytest.raises(TypeError, match="concat: source 1 must be a source of stokehold's, not list"):
        ANY.concat([table, [1]])
    with pytest.raises(ValueError, match="at least one source to concatenate"):
        sh.concat([])
    with pytest.raises(TypeError, match="unsupported operand"):
        _ = ANY.Table.__add__(table, 1) if ANY.Table.__add__(table, 1) is not NotImplemented else ANY.Arrays + 1


@WORKERS
def test_fields_are_added(folder: Path, workers: int) -> None:
    whole = sh.ImageFolder(folder)
    masks = [np.full((64 - 3 * (at % 5), 40 + 5 * (at % 7)), at, np.uint8) for at in range(24)]
    numbers = [int(Path(path).stem) for path, _ in whole.samples]
    columns = {
        "mask": sh.Masks([masks[at] for at in numbers]),
        "number": np.array(numbers),
        "path": sh.Images([path for path, _ in whole.samples]),
    }
    source = whole.with_columns(columns)
    options: dict[str, Any] = {"transforms": {"image": CROP, "path": CROP}, "draws": {"path": "image"}}
    batch = loaded(source.select(range(23, -1, -1)), workers, **options)
    assert batch["number"].tolist() == numbers[::-1]
    assert np.array_equal(batch["image"], batch["path"])
    assert [set(np.unique(mask).tolist()) for mask in batch["mask"]] == [{at} for at in reversed(numbers)]
    assert source.classes == whole.classes
    assert repr(source) == f"{whole!r}.with_columns(mask, number, path)"


def test_fields_that_cannot_be_added_are_named(table: sh.Table) -> None:
    with pytest.raises(ValueError, match="there is a field `x` already: names must differ"):
        table.with_columns({"x": np.arange(6)})
    with pytest.raises(ValueError, match="the columns have 5 rows, and the source 6 samples"):
        table.with_columns({"y": np.arange(5)})
    with pytest.raises(ValueError, match="column `mask` belongs to column `image`, which has no images"):
        table.with_columns({"mask": sh.Masks([np.zeros((2, 2), bool)] * 6)})
    with pytest.raises(ValueError, match="with_columns needs at least one column"):
        table.with_columns({})


@WORKERS
def test_errors_name_the_sample_of_the_source(own_folder: Path, workers: int) -> None:
    source = sh.ImageFolder(own_folder)
    path, _ = source.samples[4]
    Path(path).write_bytes(b"x")
    with pytest.raises(sh.DecodeError) as raised:
        loaded(source.select([0, 4]) + source.select([1]), workers, transforms={"image": CROP})
    assert (raised.value.index, raised.value.key) == (1, path)


def test_a_folder_that_has_changed_is_selected_again(own_folder: Path) -> None:
    source = sh.ImageFolder(own_folder)
    selected = source.select([0])
    Path(source.samples[3][0]).unlink()
    with pytest.raises(ValueError, match="of a source of 24 samples, which has 23 now: select again"):
        sh.Loader(selected, transforms={"image": CROP}, num_workers=0)


def test_a_state_is_of_one_selection() -> None:
    source = sh.Arrays({"x": np.arange(12)})
    states = {}
    for name, each in {"one": source.select(range(6)), "other": source.select(range(6, 12))}.items():
        with sh.Loader(each, batch_size=2, num_workers=0) as loader:
            next(iter(loader))
            states[name] = loader.state_dict()
            loader.load_state_dict(states[name])
            assert order(loader) == [2, 3, 4, 5]
    for given in (source.select(range(6)), source.select(range(3)) + source.select(range(3, 6))):
        with (
            sh.Loader(given, batch_size=2, num_workers=0) as loader,
            pytest.raises(ValueError, match="was taken from another source"),
        ):
            loader.load_state_dict(states["other"])


@WORKERS
def test_functions_get_the_samples_of_a_selection(table: sh.Table, workers: int) -> None:
    twice = [sh.Map(lambda sample: {"y": sample["x"] * 2})]
    assert loaded(table.select([5, 1]), workers, transforms=twice)["y"].tolist() == [100, 20]


def test_a_folder_is_as_torchvision_has_it(folder: Path) -> None:
    datasets = pytest.importorskip("torchvision.datasets")
    expected, found = datasets.ImageFolder(str(folder)), sh.ImageFolder(folder)
    for name in ("classes", "class_to_idx", "samples", "imgs", "targets"):
        assert getattr(found, name) == getattr(expected, name), name
    assert len(found) == len(expected)
