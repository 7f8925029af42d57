"""Where the batches of `stokehold.torch.DataLoader` lie, and how they get there."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch.utils.data import DataLoader as TorchDataLoader
from torch.utils.data import Dataset

from stokehold import _native
from stokehold._native import copy_row, copy_rows
from stokehold.torch import DataLoader
from support import run_trainer

pytestmark = pytest.mark.usefixtures("torch_started")

HELD = """
import torch
from stokehold.torch import DataLoader

class Rows(torch.utils.data.Dataset):
    def __len__(self):
        return 400
    def __getitem__(self, index):
        return torch.full((100,), index)

torch.multiprocessing.set_sharing_strategy("file_descriptor")
loader = DataLoader(Rows(), batch_size=2, num_workers=2)
list(loader)
resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")) + 30,) * 2)
held = list(loader)
assert [int(row[0]) for batch in held for row in batch] == list(range(400))
say("held", len(held))
"""


def test_held_batches_take_few_descriptors() -> None:
    assert run_trainer(HELD) == (0, "held 200\n", "")


@pytest.mark.parametrize(
    "batch",
    [
        [np.arange(6).reshape(2, 3) + row for row in range(4)],
        tuple(np.full(1, row, np.float32) for row in range(3)),
        [np.array(row) for row in range(5)],
        [np.zeros((0, 3), np.uint8)] * 2,
        [],
    ],
    ids=["matrices", "tuple", "scalars", "empty", "none"],
)
def test_arrays_go_to_rows(batch: Any) -> None:
    first = batch[0] if batch else np.zeros(3)
    out = np.full((len(batch), *first.shape), 77, first.dtype)
    assert copy_rows(batch, out)
    assert out.tolist() == [each.tolist() for each in batch]


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((3, 2)).T,
        np.zeros((3, 2)),
        np.zeros((2, 3), np.float32),
        np.zeros((2, 3), ">f8"),
        np.zeros((2, 6))[:, ::2],
        np.zeros(6),
        [[0.0] * 3] * 2,
        None,
    ],
    ids=["transposed", "shape", "dtype", "order", "strided", "flat", "list", "none"],
)
def test_what_is_no_row_is_refused(array: Any) -> None:
    out = np.zeros((2, 2, 3))
    assert not copy_rows([np.ones((2, 3)), array], out)
    assert not out[1].any()


def test_objects_are_not_copied_as_bytes() -> None:
    assert not copy_rows([np.array(["a"], object)], np.empty((1, 1), object))


def test_rows_must_fit() -> None:
    read_only = np.zeros((1, 3))
    read_only.flags.writeable = False
    for out, text in (
        (np.zeros((2, 3)), "no rows for 1 arrays"),
        (np.zeros((1, 6))[:, ::2], "rows that are not C-contiguous and writable"),
        (np.zeros(()), "an array without rows"),
        (read_only, "rows that are not C-contiguous and writable"),
    ):
        with pytest.raises(ValueError, match=text):
            copy_rows([np.zeros(3)], out)


def test_an_array_goes_to_its_row() -> None:
    out = np.zeros((3, 2, 2), np.int16)
    assert copy_row(np.arange(4, dtype=np.int16).reshape(2, 2), out, 1)
    assert out.tolist() == [[[0, 0]] * 2, [[0, 1], [2, 3]], [[0, 0]] * 2]


@pytest.mark.parametrize(
    ("array", "row"),
    [
        (np.ones((2, 2)), 3),
        (np.ones((2, 2), np.float32), 0),
        (np.ones(4), 0),
        (np.ones((2, 4))[:, ::2], 0),
        (np.ones((2, 2)).view(np.recarray), 0),
        ([[1.0, 1.0]] * 2, 0),
    ],
    ids=["row", "dtype", "shape", "strided", "subclass", "list"],
)
def test_what_is_not_such_a_row_is_left(array: Any, row: int) -> None:
    out = np.zeros((3, 2, 2))
    assert not copy_row(array, out, row)
    assert not out.any()


def test_of_several_one_exchanges_a_word() -> None:
    memory = _native.Memory(16)
    assert memory.exchange(8, 0, 2**64 - 1)
    assert not memory.exchange(8, 0, 1)
    assert bytes(memory) == bytes(8) + b"\xff" * 8
    assert memory.exchange(8, 2**64 - 1, 0)
    for offset in (4, 16):
        with pytest.raises(ValueError, match=f"no word at {offset} of 16 bytes"):
            memory.exchange(offset, 0, 0)


class Kinds(Dataset[Any]):
    """Arrays of one shape and dtype that lie in memory in several ways."""

    def __len__(self) -> int:
        return 24

    def __getitem__(self, index: int) -> Any:
        whole = np.arange(12.0).reshape(3, 4) * index
        ways = [whole, whole.T.copy().T, np.concatenate([whole, whole], 1)[:, :4]]
        return ways[index % 3]


def test_arrays_may_lie_as_they_like() -> None:
    both = [list(kind(Kinds(), batch_size=6, num_workers=2)) for kind in (TorchDataLoader, DataLoader)]
    assert all(torch.equal(*pair) for pair in zip(*both, strict=True))


class Numbers(Dataset[Any]):
    def __len__(self) -> int:
        return 12

    def __getitem__(self, index: int) -> Any:
        return np.full(3, index)


class Once:
    """Indices of a batch that can be gone through once, and have no length."""

    def __init__(self, indices: list[int]) -> None:
        self.indices = indices

    def __iter__(self) -> Iterator[int]:
        return iter(self.indices)


def test_indices_need_no_length() -> None:
    sampler: Any = [Once([1, 2, 3]), Once([7])]
    both = [list(kind(Numbers(), batch_sampler=sampler, num_workers=2)) for kind in (TorchDataLoader, DataLoader)]
    assert [batch.tolist() for batch in both[0]] == [batch.tolist() for batch in both[1]]


class Nested(Dataset[Any]):
    def __init__(self, layout: Any) -> None:
        self.layout = layout

    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> Any:
        return torch.nested.nested_tensor([torch.full((index + 1,), 1.0), torch.full((3,), 2.0)], layout=self.layout)


def first(batch: list[Any]) -> Any:
    return batch[0]


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("context", ["fork", pytest.param("spawn", marks=pytest.mark.thorough)])
@pytest.mark.parametrize("layout", [torch.strided, torch.jagged], ids=["strided", "jagged"])
def test_nested_tensors(layout: Any, context: str) -> None:
    loader: Any = DataLoader(Nested(layout), num_workers=1, collate_fn=first, multiprocessing_context=context)
    assert [[part.tolist() for part in batch.unbind()] for batch in loader] == [
        [[1.0] * (index + 1), [2.0] * 3] for index in range(4)
    ]
