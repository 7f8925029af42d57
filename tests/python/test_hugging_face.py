"""Datasets that Hugging Face's own package made, beside what it reads of them."""

from __future__ import annotations

import gc
import io
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

import stokehold as sh

datasets = pytest.importorskip("datasets")

# It uses what pyarrow has given up.
pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")

Dataset = Any
ROWS = 12_000


def picture(at: int) -> npt.NDArray[np.uint8]:
    return np.random.default_rng(at).integers(0, 256, (4 + at % 3, 5, 3), np.uint8)


def png(pixels: npt.NDArray[np.uint8]) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "png")
    return file.getvalue()


FEATURES = {
    "image": datasets.Image(),
    "label": datasets.ClassLabel(names=["cat", "dog", "emu"]),
    "text": datasets.Value("string"),
    "tokens": datasets.List(datasets.Value("int32"))
    if hasattr(datasets, "List")
    else datasets.Sequence(datasets.Value("int32")),
    "three": datasets.Sequence(datasets.Value("float32"), length=3),
    "plane": datasets.Array2D((2, 3), "uint8"),
    "rows": datasets.Array2D((None, 2), "int16"),
    "bool": datasets.Value("bool"),
    "nested": {"x": datasets.Value("float64"), "y": {"_type": datasets.Value("string")}},
}


def row(at: int) -> dict[str, Any]:
    """Row `at` as plain data."""
    return {
        "image": {"bytes": png(picture(at)), "path": None},
        "label": at % 3,
        "text": f"row {at} ü" * (at % 4),
        "tokens": list(range(at % 5)),
        "three": [at, at + 0.5, -1],
        "plane": [[at % 256, 1, 2], [3, 4, 5]],
        "rows": [[at % 100, 1]] * (1 + at % 3),
        "bool": at % 2 == 0,
        "nested": {"x": at / 2, "y": {"_type": str(at)}},
    }


def made(count: int, first: int = 0) -> Dataset:
    rows = [row(at) for at in range(first, first + count)]
    columns = {name: [each[name] for each in rows] for name in FEATURES}
    return datasets.Dataset.from_dict(columns, features=datasets.Features(FEATURES))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path: Path = tmp_path_factory.mktemp("hugging") / "saved"
    made(60).save_to_disk(path, num_shards=3)
    return path


@pytest.fixture(scope="module", autouse=True)
def _ready(folder: Path) -> Iterator[None]:
    """Has the packages start the threads that they keep, before anybody counts them, and draw no bars."""
    datasets.disable_progress_bars()
    for _ in range(3):
        saved = datasets.load_from_disk(str(folder))
        datasets.concatenate_datasets([saved, made(5)]).sort("label").with_format("numpy")[:]
    yield
    datasets.enable_progress_bars()


def plain(value: Any) -> Any:
    if isinstance(value, Image.Image):
        return np.asarray(value).tolist()
    return list(value.encode()) if isinstance(value, str) else value


def assert_same(source: sh.Table, dataset: Dataset, workers: int = 0) -> None:
    """Asserts that each sample is the row of the dataset, as that decodes it."""
    assert len(source) == len(dataset)
    at = 0
    capacity = {"image": 64} if "image" in dataset.column_names else None
    with sh.Loader(source, batch_size=7, num_workers=workers, memory_limit="64MiB", capacity=capacity) as loader:
        for batch in loader:
            for number in range(len(batch.indices)):
                expected = dataset[at]
                if "nested" in expected:
                    expected |= {
                        "nested.x": expected["nested"]["x"],
                        "nested.y._type": expected["nested"]["y"]["_type"],
                    }
                found = {name: np.array(batch[name][number]).tolist() for name in batch}
                assert found == {name: plain(expected[name]) for name in found}
                at += 1
    assert at == len(dataset)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_folder_is_what_datasets_reads_of_it(workers: int, folder: Path) -> None:
    dataset = datasets.load_from_disk(str(folder))
    source = sh.HuggingFace(folder)
    assert_same(source, dataset, workers)
    assert source.classes == ["cat", "dog", "emu"]
    assert source.class_names == {"label": ["cat", "dog", "emu"]}
    assert repr(source).startswith("HuggingFace(60 rows of image: image, label: int64[], text: text, tokens: list,")
    assert_same(sh.HuggingFace(dataset), dataset, workers)


CHOICES: dict[str, Callable[[Dataset], Dataset]] = {
    "shuffled": lambda dataset: dataset.shuffle(seed=1),
    "some": lambda dataset: dataset.select([5, 3, 3, 59, 0]),
    "a range": lambda dataset: dataset.select(range(10, 45)),
    "filtered": lambda dataset: dataset.filter(lambda label: label == 2, input_columns="label"),
    "sorted": lambda dataset: dataset.sort("label", reverse=True),
    "split": lambda dataset: dataset.train_test_split(0.3, seed=0)["test"],
    "sharded": lambda dataset: dataset.shard(4, 1, contiguous=False),
    "twice": lambda dataset: dataset.shuffle(seed=2).select(range(20)).shuffle(seed=3),
    "renamed": lambda dataset: dataset.rename_column("text", "words").remove_columns("plane"),
    "with a column": lambda dataset: dataset.add_column("more", list(range(60))),
    "concatenated": lambda dataset: datasets.concatenate_datasets(
        [dataset.select(range(9, 4, -1)), dataset, made(8, 100)]
    ),
    "beside": lambda dataset: datasets.concatenate_datasets(
        [dataset.select_columns("image"), dataset.select_columns(["label"])], axis=1
    ),
    "flat": lambda dataset: dataset.flatten_indices(),
}


@pytest.mark.parametrize("name", CHOICES)
@pytest.mark.parametrize("kind", ["disk", "memory"])
def test_what_was_chosen_stays_chosen(name: str, kind: str, folder: Path) -> None:
    whole = datasets.load_from_disk(str(folder)) if kind == "disk" else made(60)
    dataset = CHOICES[name](whole)
    assert_same(sh.HuggingFace(dataset), dataset)


def test_only_what_is_in_memory_is_copied(tmp_path: Path) -> None:
    content = [png(np.random.default_rng(at).integers(0, 256, (40, 40, 3), np.uint8)) for at in range(40)]
    size = sum(map(len, content))
    large = [{"bytes": each, "path": None} for each in content]
    made_here = datasets.Dataset.from_dict({"image": large}, features=datasets.Features({"image": datasets.Image()}))
    made_here.save_to_disk(tmp_path / "a", num_shards=2)
    saved = datasets.load_from_disk(str(tmp_path / "a"))

    def stored(dataset: Dataset) -> tuple[str, int]:
        spec, memory = sh.HuggingFace(dataset).data()
        return next(iter(spec["columns"][0]["stored"])), sum(len(piece) for piece in memory)

    for dataset in (
        saved,
        saved.shuffle(seed=0),
        saved.select(range(5)),
        datasets.concatenate_datasets([saved, made_here]),
    ):
        by, copied = stored(dataset)
        assert by == "parts"
        assert copied < size / 4
    by, copied = stored(made_here)
    assert by == "runs"
    assert copied > size


def test_a_source_outlives_its_dataset(folder: Path) -> None:
    dataset = datasets.concatenate_datasets([datasets.load_from_disk(str(folder)), made(5)])
    source = sh.HuggingFace(dataset)
    expected = [each["text"] for each in dataset]
    part = source.select(range(1, 65))
    del dataset, source
    gc.collect()
    with sh.Loader(part, batch_size=65, num_workers=1, memory_limit="64MiB", capacity={"image": 64}) as loader:
        assert [text for batch in loader for text in batch.text("text")] == expected[1:]


def test_a_large_dataset_is_read_as_datasets_reads_it(tmp_path: Path) -> None:
    chance = np.random.default_rng(0)
    columns: dict[str, Any] = {
        "id": np.arange(ROWS),
        "vector": chance.random((ROWS, 16), np.float32),
        "label": chance.integers(0, 2, ROWS),
        "tokens": [list(range(at % 9)) for at in range(ROWS)],
    }
    features = datasets.Features(
        {
            "id": datasets.Value("int64"),
            "vector": datasets.Sequence(datasets.Value("float32"), length=16),
            "label": datasets.ClassLabel(names=["no", "yes"]),
            "tokens": datasets.Sequence(datasets.Value("uint16")),
        }
    )
    datasets.Dataset.from_dict(columns, features=features).save_to_disk(tmp_path / "a", num_shards=4)
    dataset = datasets.load_from_disk(str(tmp_path / "a"))
    for each in (dataset, dataset.shuffle(seed=5)):
        with sh.Loader(sh.HuggingFace(each), batch_size=1000, num_workers=2, memory_limit="64MiB") as loader:
            batches = [{name: batch[name] for name in batch} | {"order": batch.indices} for batch in loader]
            expected = each.with_format("numpy")[:]
            for name in ("id", "vector", "label"):
                np.testing.assert_array_equal(np.concatenate([batch[name] for batch in batches]), expected[name])
            lists = [row.tolist() for batch in batches for row in batch["tokens"]]
            assert lists == [columns["tokens"][at] for at in expected["id"]]
            del batches


def test_the_folder_needs_no_datasets(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    assert len(sh.HuggingFace(folder)) == 60


def test_without_pyarrow_an_error_says_what_to_install(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ImportError, match=r"pip install 'stokehold\[arrow\]'"):
        sh.HuggingFace(folder)


def test_what_is_no_dataset_of_rows_is_refused(folder: Path, tmp_path: Path) -> None:
    dataset = datasets.load_from_disk(str(folder))
    both = datasets.DatasetDict({"train": dataset, "test": dataset})
    both.save_to_disk(tmp_path / "both")
    dataset.with_format("numpy").save_to_disk(tmp_path / "numpy")
    for given, message in [
        (both, r"a DatasetDict has several datasets; give one of them, dataset\[split\]: 'train', 'test'"),
        (dataset.to_iterable_dataset(), "an IterableDataset has no rows by number"),
        ([1, 2], "must be a datasets.Dataset or the folder of one, not \\[1, 2\\]"),
    ]:
        with pytest.raises(TypeError, match=message):
            sh.HuggingFace(given)
    for given, message in [
        (tmp_path / "both", "several datasets; give the folder of one of them: train, test"),
        (tmp_path, "has no state.json"),
        (dataset.with_transform(lambda rows: rows), r"the format 'custom' .*sh\.Loader\(dataset\)"),
        (dataset.with_format("torch" if "torch" in sys.modules else "numpy"), r"sh\.Loader\(dataset\)"),
        (dataset.with_format(None, columns=["text"]), "a format that hides columns"),
        (tmp_path / "numpy", "the format 'numpy'"),
        (dataset.select([]), "there are no rows"),
    ]:
        with pytest.raises(ValueError, match=message):
            sh.HuggingFace(given)
    with pytest.raises(FileNotFoundError):
        sh.HuggingFace(tmp_path / "none")
    assert len(sh.HuggingFace(tmp_path / "both" / "train")) == 60


def test_features_without_a_kind_are_refused_by_name() -> None:
    dataset = datasets.Dataset.from_dict({"x": [[{"a": 1}]], "y": [["a"]], "z": [1]})
    for name in ("x", "y"):
        with pytest.raises(ValueError, match=rf"HuggingFace: column `{name}` is a .*leave it out by columns=\[...\]"):
            sh.HuggingFace(dataset)
        dataset = dataset.remove_columns(name)
    assert len(sh.HuggingFace(dataset)) == 1
    video = datasets.Features({"v": {"bytes": datasets.Value("binary"), "path": datasets.Value("string")}})
    dataset = datasets.Dataset.from_dict({"v": [{"bytes": b"1", "path": None}]}, features=video)
    dataset = dataset.cast_column("v", datasets.Audio(decode=False))
    with sh.Loader(sh.HuggingFace(dataset), batch_size=1, num_workers=0, memory_limit="1MiB") as loader:
        assert next(iter(loader))["v"][0].tobytes() == b"1"
    dataset.info.features["v"] = datasets.Pdf() if hasattr(datasets, "Pdf") else datasets.Video()
    with pytest.raises(ValueError, match="column `v` is of the feature"):
        sh.HuggingFace(dataset)


def test_nulls_that_were_filtered_away_do_not_count() -> None:
    dataset = datasets.Dataset.from_dict({"label": [1, None, 3], "text": ["a", "b", None]})
    with pytest.raises(ValueError, match="HuggingFace: row 1: column `label` is null"):
        sh.HuggingFace(dataset)
    assert_same(sh.HuggingFace(dataset.select([0])), dataset.select([0]))
    with pytest.raises(ValueError, match="HuggingFace: row 0: column `text` is null"):
        sh.HuggingFace(dataset.select([2, 0]))
    assert sh.HuggingFace(dataset, nulls="fill").counters == {"nulls_of_label": 1, "nulls_of_text": 1}
    assert sh.HuggingFace(dataset.select([1]), nulls="fill").counters == {"nulls_of_label": 1}


def of_paths(paths: list[str | None]) -> Dataset:
    features = datasets.Features({"image": datasets.Image()})
    return datasets.Dataset.from_dict({"image": paths}, features=features)


def test_images_that_are_files_need_a_root(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for name in ("in/a.png", "in/b.png", "out.png"):
        (tmp_path / name).write_bytes(png(picture(1)))
    dataset = of_paths([str(tmp_path / "in/a.png"), str(tmp_path / "in/b.png")])
    assert_same(sh.HuggingFace(dataset, root=tmp_path / "in"), dataset, 1)
    with pytest.raises(ValueError, match="row 0: column `image` has only the path of a file: HuggingFace takes root="):
        sh.HuggingFace(dataset)
    for path in ("out.png", "in/../out.png", "in", "innocent/a.png"):
        with pytest.raises(ValueError, match=r"row 1: column `image` has the path .*, which does not lead below"):
            sh.HuggingFace(of_paths([str(tmp_path / "in/a.png"), str(tmp_path / path)]), root=tmp_path / "in")
    with pytest.raises(ValueError, match="does not lead below"):
        sh.HuggingFace(of_paths(["zip://a.png::" + str(tmp_path / "in" / "b.zip")]), root=tmp_path / "in")
    with pytest.raises(ValueError, match="row 1: column `image` is null, and nothing can stand for a file"):
        sh.HuggingFace(of_paths([str(tmp_path / "in/a.png"), None]), root=tmp_path / "in", nulls="fill")
    both = datasets.concatenate_datasets([dataset, made(1).select_columns("image")])
    with pytest.raises(
        ValueError, match="row 0: column `image` has only the path of a file, and other rows have the bytes"
    ):
        sh.HuggingFace(both, root=tmp_path)


@pytest.mark.parametrize(
    ("file", "change", "message"),
    [
        ("state.json", {"_data_files": [{"filename": "../a.arrow"}]}, r"names the file '\.\./a\.arrow'"),
        ("state.json", {"_data_files": [{"filename": "/etc/passwd"}]}, "names the file"),
        ("state.json", {"_data_files": ["a.arrow"]}, "names the file None"),
        ("state.json", {"_data_files": []}, "there are no paths"),
        ("state.json", [], "is no object of JSON"),
        ("state.json", b"{", "is no JSON"),
        ("state.json", b"[" * 100_000, "is no JSON"),
        ("dataset_info.json", {"features": []}, "the features are a list"),
        (
            "dataset_info.json",
            {"features": {"plane": {"_type": "Array2D", "shape": [2, "x"]}}},
            "column `plane` is a Array2D",
        ),
        (
            "dataset_info.json",
            {"features": {"plane": {"_type": "Array2D"}}},
            "column `plane` is a Array2D of shape None",
        ),
        (
            "dataset_info.json",
            {"features": {"text": {"_type": "Image"}}},
            "column `text` is a string, which holds no image",
        ),
        (
            "dataset_info.json",
            {"features": {"label": {"_type": "Image"}}},
            "column `label` is a int64, and no image file",
        ),
    ],
)
def test_hostile_folders_are_refused(file: str, change: Any, message: str, folder: Path, tmp_path: Path) -> None:
    for each in folder.iterdir():
        (tmp_path / each.name).write_bytes(each.read_bytes())
    whole = json.loads((tmp_path / file).read_bytes())
    content = whole | change if isinstance(change, dict) else change
    (tmp_path / file).write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    with pytest.raises(ValueError, match=message):
        sh.HuggingFace(tmp_path)


def test_a_folder_that_lacks_a_file_says_so(folder: Path, tmp_path: Path) -> None:
    for each in folder.iterdir():
        if "00001" not in each.name:
            (tmp_path / each.name).write_bytes(each.read_bytes())
    with pytest.raises(FileNotFoundError, match="data-00001-of-00003"):
        sh.HuggingFace(tmp_path)
