"""Datasets of Hugging Face."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from stokehold.arrow.features import hints_of
from stokehold.arrow.fields import Fill, Nulls
from stokehold.arrow.ipc import batches_of, opened
from stokehold.arrow.places import mapped_regions
from stokehold.arrow.source import ArrowTable, chosen
from stokehold.arrow.types import pyarrow
from stokehold.audio import Waveform
from stokehold.checks import path, shown

__all__ = ["HuggingFace"]

_STATE = "state.json"
_INFO = "dataset_info.json"
_DICT = "dataset_dict.json"
_PYTHON_WAY = "sh.Loader(dataset) loads it as any dataset of Python"


class HuggingFace(ArrowTable):
    """The rows of a ``datasets.Dataset``, or of a folder that its ``save_to_disk`` has written.

    Sample ``i`` is row ``i`` of the dataset: what ``select``, ``shuffle``, ``sort``, ``filter``, ``train_test_split``
    and ``concatenate_datasets`` have chosen stays chosen. There is no Python in the workers: they read bytes where
    these lie in the dataset's Arrow files, as those of `Arrow` do. What of the dataset is in memory is copied; where a
    column is partly in files, to a file without a name in the folder for temporary ones. The dataset may be dropped
    afterwards; its files may not be changed. For a folder, the package ``datasets`` is not needed, only pyarrow.

    Features become fields: ``Image`` an image, decoded by the pool as one of an image folder: what ``datasets`` does
    besides, which is to turn it as its EXIF orientation says and to convert it to the feature's ``mode``, are arguments
    of `DecodeImage`; ``Audio`` bytes, or waveforms where `audio` says so; ``ClassLabel`` an ``int64`` label, whose
    names are `classes` (-1, where a label is not known, stays); ``Array2D`` to ``Array5D`` tensors, or ragged fields
    where their first extent is None; all else by its type in Arrow, as `Arrow` lists it. What has no kind of field is
    refused by name.

    Args:
        dataset: The dataset, or the folder.
        columns: As `Arrow` takes it.
        images: As `Arrow` takes it, for images that no feature tells of.
        audio: As `Arrow` takes it.
        shapes: As `Arrow` takes it.
        nulls: As `Arrow` takes it. Only rows that have been chosen count.
        fill: As `Arrow` takes it.
        root: The folder that image and audio files lie in where the dataset has only their paths, which then must lead
            to somewhere below it. By default such images are refused.

    Raises:
        ImportError: pyarrow is not installed.
        FileNotFoundError: There is no such folder, or a file of it is not there.
        TypeError: It is no ``Dataset``, but a ``DatasetDict`` of several, or an ``IterableDataset``.
        ValueError: The dataset has a format or a transform of its own (`Loader` takes such a one as it is); a feature
            cannot become a field; or as `Arrow`.
    """

    def __init__(
        self,
        dataset: Any,
        *,
        columns: Sequence[str] | Mapping[str, str] | None = None,
        images: Sequence[str] = (),
        audio: Mapping[str, Waveform] | None = None,
        shapes: Mapping[str, Sequence[int | None]] | None = None,
        nulls: Nulls = "error",
        fill: Mapping[str, Fill] | None = None,
        root: str | os.PathLike[str] | None = None,
    ) -> None:
        owner = "HuggingFace"
        allowed = None if root is None else os.fspath(path("HuggingFace: root", root))
        choice = chosen(
            owner, columns=columns, images=images, audio=audio, shapes=shapes, nulls=nulls, fill=fill, root=allowed
        )
        pyarrow()
        if isinstance(dataset, str | os.PathLike):
            folder = path("HuggingFace: dataset", dataset)
            files = opened(owner, _data_files(folder))
            hints = hints_of(owner, _json(folder / _INFO).get("features"))
            regions = [file.region for file in files]
            super().__init__(choice, files[0].schema, batches=batches_of(owner, files), hints=hints, regions=regions)
            return
        _check_dataset(dataset)
        table = dataset.data.table
        batches = (("", batch) for batch in table.to_batches())
        hints = hints_of(owner, dataset.features.to_dict())
        regions = mapped_regions(file["filename"] for file in dataset.cache_files)
        super().__init__(choice, table.schema, batches=batches, hints=hints, regions=regions, indices=_indices(dataset))


def _check_dataset(dataset: Any) -> None:
    """Checks that this is a dataset that comes as it lies in its files."""
    kinds = {kind.__name__ for kind in type(dataset).__mro__ if kind.__module__.partition(".")[0] == "datasets"}
    name = type(dataset).__name__
    if kinds & {"DatasetDict", "IterableDatasetDict"}:
        splits = ", ".join(map(repr, dataset))
        raise TypeError(f"HuggingFace: a {name} has several datasets; give one of them, dataset[split]: {splits}")
    if "IterableDataset" in kinds:
        raise TypeError(f"HuggingFace: an IterableDataset has no rows by number; give a Dataset, or {_PYTHON_WAY}")
    if "Dataset" not in kinds:
        raise TypeError(f"HuggingFace: dataset must be a datasets.Dataset or the folder of one, not {shown(dataset)}")
    form = dataset.format
    if form["type"] is not None or set(form["columns"]) != set(dataset.column_names):
        _refuse_format(form["type"])


def _refuse_format(kind: object) -> None:
    what = f"the format {kind!r}" if kind else "a format that hides columns"
    raise ValueError(
        f"HuggingFace: the dataset has {what} (set_format, with_transform), which is Python: {_PYTHON_WAY}; "
        "reset_format() removes it, and columns= chooses columns"
    )


def _indices(dataset: Any) -> npt.NDArray[np.int64] | None:
    """Returns which rows of its table a dataset has, or None where it has all in their order."""
    mapping = dataset._indices  # noqa: SLF001 (nothing public tells)
    if mapping is None:
        return None
    indices: npt.NDArray[np.int64] = mapping.column(0).to_numpy().astype(np.int64)
    return indices


def _data_files(folder: Path) -> list[str]:
    """Returns the Arrow files of a folder that a dataset was saved to."""
    if (folder / _DICT).is_file():
        splits = ", ".join(str(name) for name in _json(folder / _DICT).get("splits", []))
        raise ValueError(f"HuggingFace: {folder} has several datasets; give the folder of one of them: {splits}")
    if folder.is_dir() and not (folder / _STATE).is_file():
        raise ValueError(f"HuggingFace: {folder} has no {_STATE}, as folders have that save_to_disk wrote")
    state = _json(folder / _STATE)
    if state.get("_format_type") is not None or state.get("_format_columns") is not None:
        _refuse_format(state.get("_format_type"))
    if state.get("_indices_data_files") or state.get("_indices_files"):
        raise ValueError(f"HuggingFace: {folder} was saved by an old version of datasets: load it and save it again")
    names = [each.get("filename") if isinstance(each, dict) else None for each in state.get("_data_files", [])]
    for name in names:
        # A file of another folder is none of the dataset's.
        if not isinstance(name, str) or name != Path(name).name or name in {"", ".."} or "\0" in name:
            raise ValueError(f"HuggingFace: {folder / _STATE} names the file {name!r}, which is no file of the folder")
    return [f"{folder}/{name}" for name in names]


def _json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise ValueError(f"HuggingFace: {path} is no JSON: {error}") from error
    if not isinstance(found, dict):
        raise ValueError(f"HuggingFace: {path} is no object of JSON")  # noqa: TRY004 (a file's fault)
    return found
