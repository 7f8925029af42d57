"""What `stokehold.torch` makes of samples, beside PyTorch: functions of one's own, named tuples, strides, dtypes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple, Self

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch.utils.data import DataLoader as TorchDataLoader
from torch.utils.data import Dataset
from torch.utils.data._utils import collate as torchs

from stokehold.torch import DataLoader
from stokehold.torch.collate import LARGE, TABLE
from test_torch_loader import Bag, assert_equal

pytestmark = pytest.mark.usefixtures("torch_started")
LOADERS = (TorchDataLoader, DataLoader)
SMALL, MANY = LARGE // 4 - 1, LARGE // 4
"""Numbers of elements of `float32`: too few to go to their row at once, and just enough."""


class Made(Dataset[Any]):
    """Samples that a function makes of their index."""

    def __init__(self, make: Callable[[int], Any], rows: int = 4) -> None:
        self.make = make
        self.rows = rows

    def __len__(self) -> int:
        return self.rows

    def __getitem__(self, index: int) -> Any:
        return self.make(index)


def outcome(loader: Any, make: Callable[[int], Any], **options: Any) -> list[Any]:
    """All batches, and what the error is where there is one instead."""
    found: list[Any] = []
    iterator = iter(loader(Made(make), **{"batch_size": 2, "num_workers": 1} | options))
    while True:
        try:
            found.append(next(iterator))
        except StopIteration:
            return found
        except Exception as error:  # noqa: BLE001 (whatever PyTorch raises)
            found.append((type(error), str(error).splitlines()[-1]))


def compare(make: Callable[[int], Any], **options: Any) -> list[Any]:
    ours, theirs = (outcome(loader, make, **options) for loader in reversed(LOADERS))
    assert_equal(ours, theirs)
    return ours


def test_the_table_is_torchs() -> None:
    """If not, no array would go to its row at once."""
    assert tuple(torchs.default_collate_fn_map.items()) == TABLE


class Pair(NamedTuple):
    left: Any
    right: Any


class Sample:
    """Something that PyTorch cannot collate."""

    def __init__(self, image: Any) -> None:
        self.image = image


def described(value: Any) -> Any:
    """What a function of the user's can see of a value, in types that need no collating."""
    if isinstance(value, Sample):
        return "Sample", described(value.image)
    if isinstance(value, dict):
        return type(value).__name__, [(key, described(each)) for key, each in value.items()]
    if isinstance(value, tuple | list):
        return type(value).__name__, [described(each) for each in value]
    if isinstance(value, torch.Tensor | np.ndarray):
        return type(value).__name__, str(value.dtype), tuple(value.shape), np.asarray(value).sum().item()
    return type(value).__name__, value


def seen(batch: list[Any], *, collate_fn_map: Any = None) -> Any:
    """A collate function that tells what it is given."""
    names = [getattr(function, "__qualname__", repr(function)) for function in collate_fn_map.values()]
    return str((described(batch), [str(kind) for kind in collate_fn_map], names))


def further(batch: list[Any], *, collate_fn_map: Any = None) -> Any:
    """A collate function that uses the others."""
    return {"image": torchs.collate([each.image for each in batch], collate_fn_map=collate_fn_map), "count": len(batch)}


def sample(index: int) -> Any:
    array, tensor = np.full(MANY, index, np.float32), torch.full((MANY,), float(index))
    return {
        "tensors": [tensor, tensor[:SMALL]],
        "arrays": [array, array[:SMALL]],
        "list": [tensor, 1.5, np.float32(index)],
        "tuple": (array, "text", b"bytes"),
        "bag": Bag(image=array),
        "named": Pair(array, index),
    }


@contextmanager
def registered(changes: dict[Any, Any], *, first: bool = False) -> Iterator[None]:
    """PyTorch's table with changes; a function that is None is taken out."""
    table = torchs.default_collate_fn_map
    before = dict(table)
    changed = {**changes, **before, **changes} if first else {**before, **changes}
    table.clear()
    table.update({kind: function for kind, function in changed.items() if function is not None})
    try:
        yield
    finally:
        table.clear()
        table.update(before)


KINDS: list[Any] = [torch.Tensor, np.ndarray, dict, list, tuple, Pair, Bag, float, str, bytes, (np.number, int), object]


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_functions_of_ones_own_see_what_they_see_in_torch(kind: Any) -> None:
    with registered({kind: seen}, first=True):
        compare(sample)


def test_any_change_of_the_table_is_torchs() -> None:
    with registered({Sample: further}):
        compare(lambda index: Sample(sample(index)))
        compare(lambda index: [sample(index), Sample(torch.full((MANY,), index))])
    with registered({torch.Tensor: torchs.collate_str_fn}):
        compare(sample)
    with registered({np.ndarray: None, float: None}):
        compare(sample)


def test_a_function_that_is_registered_in_the_worker_is_called() -> None:
    def register(_: int) -> None:
        torchs.default_collate_fn_map[torch.Tensor] = seen

    compare(sample, worker_init_fn=register)
    assert tuple(torchs.default_collate_fn_map.items()) == TABLE


class Scaled(Pair):
    """A named tuple whose constructor looks at its fields and changes them."""

    def __new__(cls, image: Any, label: Any) -> Self:
        assert image.ndim >= 1
        return super().__new__(cls, image / 2, label)


class Bare(Scaled):
    __slots__ = ()


class More(Pair):
    """A named tuple that shows more than its fields."""

    more = 0

    def __iter__(self) -> Iterator[Any]:
        return iter((self.left + self.more, self.right))


@pytest.mark.parametrize("elements", [SMALL, MANY])
@pytest.mark.parametrize("kind", [Pair, Scaled, Bare, More])
def test_named_tuples_are_torchs(kind: Any, elements: int) -> None:
    def make(index: int) -> Any:
        made = kind(np.full(elements, index, np.float32), torch.full((elements,), index))
        if kind is More:
            made.more = index
        return made

    compare(lambda index: {"in": [make(index)]})


LATER: dict[str, Callable[[Any], tuple[Any, Any]]] = {
    "text": lambda image: ("text", image),
    "bytes": lambda image: (b"bytes", image),
    "number": lambda image: (3, image),
    "nothing": lambda image: (None, image),
    "list": lambda image: ([1, 2], image),
    "dict": lambda image: ({"x": image}, image),
    "other keys": lambda image: ({"x": image}, {"y": image, "x": image}),
    "other order": lambda image: ({"x": image, "y": image[1:]}, {"y": image[1:], "x": image}),
    "fewer": lambda image: ([image, image], [image]),
    "a tuple": lambda image: ([image, image], (image, image)),
    "a row more": lambda image: (image, image[:, None]),
}


@pytest.mark.parametrize("how", LATER)
@pytest.mark.parametrize("array", [False, True])
def test_samples_unlike_the_first_are_torchs(how: str, array: bool) -> None:
    def make(index: int) -> Any:
        image = np.full(MANY + 1, index, np.float32) if array else torch.full((MANY + 1,), float(index))
        return image, LATER[how](image)[index // 2 % 2 ^ index % 2]

    compare(make)


def test_a_buffer_that_is_used_again_gives_each_sample_its_own() -> None:
    """Large arrays are taken at once, as `docs/pytorch.md` says; PyTorch has the last one in all rows."""
    buffer = np.zeros(LARGE, np.float32)

    def make(index: int) -> Any:
        buffer[:] = index
        return buffer

    assert [batch[:, 0].tolist() for batch in outcome(DataLoader, make)] == [[0, 1], [2, 3]]


def arrays(elements: int) -> dict[str, np.ndarray]:
    flat = np.arange(elements, dtype=np.float32)
    packed = np.zeros(elements, [("flag", "u1"), ("value", "<f4")])
    return {
        "backwards": flat[::-1],
        "every second, backwards": flat[::-2],
        "columns backwards": flat[: elements // 4 * 4].reshape(-1, 4)[:, ::-1],
        "one row, backwards": flat.reshape(1, -1)[::-1],
        "one number, backwards": flat[:1][::-1],
        "nothing, backwards": flat[: elements // 4 * 4].reshape(-1, 4)[:, 4:][::-1],
        "a field of a packed record": packed["value"],
        "transposed": flat[: elements // 4 * 4].reshape(-1, 4).T,
        "every second": flat[::2],
        "one value": np.broadcast_to(flat[:1], (elements,)),
        "other byte order": flat.astype(">f4"),
        "texts": np.array(["a", "b"]),
        "objects": np.array([None, 1]),
    }


@pytest.mark.parametrize("elements", [8, LARGE])
@pytest.mark.parametrize("which", arrays(8))
@pytest.mark.filterwarnings("ignore:The given NumPy array is not writable")
def test_arrays_are_taken_or_refused_as_by_torch_for_any_number_of_workers(which: str, elements: int) -> None:
    def make(_: int) -> Any:
        return arrays(elements)[which]

    without, _ = outcome(TorchDataLoader, make, num_workers=0)
    ours, _ = compare(make)
    if isinstance(without, tuple):
        assert ours[0] is without[0]
    else:
        assert_equal(ours, without)


DTYPES = sorted({each for each in vars(torch).values() if isinstance(each, torch.dtype)}, key=str)


@pytest.mark.filterwarnings("ignore:.* support is experimental")
@pytest.mark.parametrize("options", [{"batch_size": None}, {"collate_fn": list}], ids=str)
def test_any_dtype_is_handed_on(options: dict[str, Any]) -> None:
    dtypes = [each for each in DTYPES if not str(each).startswith("torch.q")]

    def make(_: int) -> Any:
        content = torch.arange(12, dtype=torch.uint8)
        return [
            (tensor, tensor.view(4, -1).t(), tensor.view(2, -1)[:, ::3], tensor[:0], tensor[5])
            for tensor in (content.repeat(each.itemsize).view(each) for each in dtypes if each is not torch.bool)
        ]

    theirs, ours = (next(iter(loader(Made(make, 1), num_workers=1, **options))) for loader in LOADERS)
    if "collate_fn" in options:
        (theirs,), (ours,) = theirs, ours
    for their_tensors, our_tensors in zip(theirs, ours, strict=True):
        for one, other in zip(their_tensors, our_tensors, strict=True):
            assert (one.dtype, one.shape) == (other.dtype, other.shape)
            assert bits(one) == bits(other), one.dtype


def bits(tensor: Any) -> Any:
    """A tensor's bytes, also of dtypes of which PyTorch cannot compare numbers."""
    if tensor.dtype is torch.complex128:
        tensor = torch.view_as_real(tensor)
    return tensor.view({1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}[tensor.dtype.itemsize]).tolist()
