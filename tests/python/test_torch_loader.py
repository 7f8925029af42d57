"""`stokehold.torch.DataLoader` beside PyTorch's: equal arguments and seeds give equal batches, errors and warnings."""

from __future__ import annotations

import collections
import gc
import pickle
import random
import warnings
from typing import Any, NamedTuple

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch.utils.data import DataLoader as TorchDataLoader
from torch.utils.data import (
    Dataset,
    IterableDataset,
    RandomSampler,
    SubsetRandomSampler,
    WeightedRandomSampler,
    get_worker_info,
)

from stokehold.torch import DataLoader
from support import accelerators

pytestmark = pytest.mark.usefixtures("torch_started")
LOADERS = (TorchDataLoader, DataLoader)
ROWS = 22


class Pair(NamedTuple):
    left: Any
    right: Any


class Bag(dict[str, Any]):
    """A mapping of its own type."""


def number(index: int) -> Any:
    return index


def array(index: int) -> Any:
    return np.full((3, 5), index, np.float32)


def tensor(index: int) -> Any:
    return torch.full((4,), index)


def nested(index: int) -> Any:
    return {
        "array": np.arange(6, dtype=np.int16).reshape(2, 3) + index,
        "tuple": (index, [float(index), torch.tensor(index)]),
        "named": Pair(np.float64(index), f"text {index}"),
        "bag": Bag(a=torch.ones(2) * index, b=b"bytes"),
        "bool": index % 2 == 0,
        "half": torch.full((3,), index, dtype=torch.bfloat16),
        "scalar": np.array(index),
        "nothing": torch.empty(0, 3),
    }


def large(index: int) -> Any:
    return {"image": np.full((3, 64, 64), index, np.float32), "other": torch.full((100, 100), index), "label": index}


def drawn(index: int) -> Any:
    return index, random.random(), torch.rand(2), np.random.rand(2), get_worker_info().seed if get_worker_info() else 0


SAMPLES = {function.__name__: function for function in (number, array, tensor, nested, large, drawn)}


class Map(Dataset[Any]):
    def __init__(self, sample: str, rows: int = ROWS) -> None:
        self.sample = SAMPLES[sample]
        self.rows = rows

    def __len__(self) -> int:
        return self.rows

    def __getitem__(self, index: int) -> Any:
        if not 0 <= index < self.rows:
            raise IndexError(index)
        return self.sample(index)


class MapOfBatches(Map):
    def __getitems__(self, indices: list[int]) -> list[Any]:
        return [self.sample(index) for index in indices]


class Stream(IterableDataset[Any]):
    def __init__(self, sample: str, rows: int = ROWS) -> None:
        self.sample = SAMPLES[sample]
        self.rows = rows

    def __iter__(self) -> Any:
        worker = get_worker_info()
        first, step = (worker.id, worker.num_workers) if worker else (0, 1)
        for index in range(first, self.rows, step):
            yield self.sample(index)


def listed(samples: list[Any]) -> Any:
    return {"stacked": torch.tensor([sample["label"] for sample in samples]), "rest": samples}


def prepare(worker: int) -> None:
    torch.manual_seed(100 + worker)


def batches(loader: Any, epochs: int = 2) -> list[Any]:
    torch.manual_seed(5)
    random.seed(5)
    np.random.seed(5)
    return [batch for _ in range(epochs) for batch in loader]


def assert_equal(ours: Any, theirs: Any) -> None:
    assert type(ours) is type(theirs)
    if isinstance(theirs, torch.Tensor):
        assert ours.dtype == theirs.dtype
        assert ours.stride() == theirs.stride()
        assert torch.equal(ours, theirs)
    elif isinstance(theirs, np.ndarray):
        assert ours.dtype == theirs.dtype
        np.testing.assert_array_equal(ours, theirs)
    elif isinstance(theirs, collections.abc.Mapping):
        assert list(ours) == list(theirs)
        for key in theirs:
            assert_equal(ours[key], theirs[key])
    elif isinstance(theirs, tuple | list):
        assert len(ours) == len(theirs)
        for one, other in zip(ours, theirs, strict=True):
            assert_equal(one, other)
    else:
        assert ours == theirs


def compare(dataset: Any, **options: Any) -> list[Any]:
    if options.pop("sampled", False):
        options["sampler"] = RandomSampler(range(ROWS), num_samples=30, replacement=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = batches(TorchDataLoader(dataset, **options))
        ours = batches(DataLoader(dataset, **options))
    assert_equal(ours, theirs)
    assert ours
    return ours


WORKERS = [0, 1, 2, pytest.param(3, marks=pytest.mark.thorough)]
SHAPES: list[dict[str, Any]] = [
    {"batch_size": 4},
    {"batch_size": 5, "shuffle": True, "drop_last": True},
    {"batch_size": None},
    {"batch_size": 4, "sampled": True, "persistent_workers": True, "prefetch_factor": 1},
    {"batch_size": 22, "prefetch_factor": 5},
]


@pytest.mark.parametrize("workers", WORKERS)
@pytest.mark.parametrize("shape", range(len(SHAPES)))
@pytest.mark.parametrize("sample", SAMPLES)
def test_batches_are_torchs(sample: str, shape: int, workers: int) -> None:
    options = dict(SHAPES[shape])
    if workers == 0:
        options = {
            name: value for name, value in options.items() if name not in {"persistent_workers", "prefetch_factor"}
        }
    compare(Map(sample), num_workers=workers, **options)


@pytest.mark.parametrize("workers", WORKERS)
@pytest.mark.parametrize("sample", SAMPLES)
@pytest.mark.parametrize("batch_size", [None, 3])
@pytest.mark.parametrize("persistent", [False, True])
def test_streams_are_torchs(sample: str, batch_size: int | None, persistent: bool, workers: int) -> None:
    compare(Stream(sample), num_workers=workers, batch_size=batch_size, persistent_workers=persistent and workers > 0)


@pytest.mark.parametrize("workers", [0, 2])
def test_further_arguments_are_torchs(workers: int) -> None:
    generator = torch.Generator()
    for options in (
        {"sampler": SubsetRandomSampler(range(3, 17)), "batch_size": 3},
        {"sampler": WeightedRandomSampler(range(ROWS), 11), "batch_size": 2},
        {"batch_sampler": [[3, 1], [4], [1, 5, 9]]},
        {"batch_size": 4, "worker_init_fn": prepare},
        {"batch_size": 4, "shuffle": True, "generator": generator},
    ):
        generator.manual_seed(7)
        first = generator.get_state()
        theirs = batches(TorchDataLoader(Map("drawn"), num_workers=workers, **options))
        generator.set_state(first)
        assert_equal(batches(DataLoader(Map("drawn"), num_workers=workers, **options)), theirs)
    compare(MapOfBatches("nested"), num_workers=workers, batch_size=4)
    compare(Map("large"), num_workers=workers, batch_size=4, collate_fn=listed)


@pytest.mark.parametrize("method", ["fork", "spawn", pytest.param("forkserver", marks=pytest.mark.thorough)])
def test_start_methods(method: str) -> None:
    compare(Map("nested", 9), num_workers=1, batch_size=4, multiprocessing_context=method, persistent_workers=True)


class Odd(Map):
    """Samples of which one is not like the others."""

    def __init__(self, kind: str) -> None:
        super().__init__("large")
        self.kind = kind

    def __getitem__(self, index: int) -> Any:
        image = np.full((3, 64, 64), index, np.float32)
        if index == 2:
            match self.kind:
                case "shape":
                    image = image[:, :63]
                case "dtype":
                    image = image.astype(np.float64)
                case "tensor":
                    return {"image": torch.from_numpy(image), "label": index}
                case "keys":
                    return {"image": image}
                case "small":
                    image = image[:, :2, :2]
                case "none":
                    return {"image": None, "label": index}
                case "strided":
                    image = image.transpose(0, 2, 1)
        return {"image": image, "label": index}


@pytest.mark.parametrize("kind", ["same", "shape", "dtype", "tensor", "keys", "small", "none", "strided"])
@pytest.mark.parametrize("batch_size", [4, 2])
def test_odd_samples_are_torchs(kind: str, batch_size: int) -> None:
    """What is written to rows in advance is given back where it does not fit."""
    results = []
    for loader in LOADERS:
        iterator = iter(loader(Odd(kind), batch_size=batch_size, num_workers=1))
        found: list[Any] = []
        while True:
            try:
                found.append(next(iterator))
            except StopIteration:
                break
            except Exception as error:  # noqa: BLE001 (whatever PyTorch raises)
                found.append((type(error), str(error).splitlines()[-1]))
        results.append(found)
    assert_equal(results[1], results[0])


def test_a_loader_is_torchs_with_its_attributes() -> None:
    dataset = Map("number")
    loaders = [loader(dataset, 4, True, num_workers=2, prefetch_factor=3, timeout=9) for loader in LOADERS]
    assert isinstance(loaders[1], TorchDataLoader)
    for name in set(vars(loaders[0])) - {"sampler", "batch_sampler", "generator"}:
        assert getattr(loaders[0], name) == getattr(loaders[1], name), name
    assert len(loaders[1]) == len(loaders[0]) == 6
    again = pickle.loads(pickle.dumps(DataLoader(Map("number"), batch_size=4)))
    assert_equal(batches(again), batches(loaders[0].__class__(Map("number"), batch_size=4)))


@pytest.mark.parametrize(
    "options",
    [
        {"num_workers": -1},
        {"timeout": -1},
        {"prefetch_factor": 2},
        {"num_workers": 1, "prefetch_factor": -1},
        {"persistent_workers": True},
        {"shuffle": True, "sampler": [1]},
        {"batch_sampler": [[1]], "batch_size": 3},
        {"batch_size": None, "drop_last": True},
        {"num_workers": 1, "multiprocessing_context": "telepathy"},
        {"multiprocessing_context": "fork"},
    ],
)
def test_bad_arguments_raise_what_torch_raises(options: dict[str, Any]) -> None:
    errors = []
    for loader in LOADERS:
        with pytest.raises(ValueError) as caught:  # noqa: PT011 (the two are compared)
            loader(Map("number"), **options)
        errors.append(str(caught.value))
    assert errors[0] == errors[1]
    with pytest.raises(ValueError, match="on_worker_death must be"):
        DataLoader(Map("number"), on_worker_death="shrug")  # type: ignore[arg-type]


@pytest.mark.skipif(accelerators().is_available(), reason="memory is pinned then")
def test_memory_that_cannot_be_pinned_is_a_warning_as_torchs() -> None:
    texts = []
    for loader in LOADERS:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            # Of JAX, where another test has imported it, and of Python from 3.12 on; ours forks once more.
            warnings.filterwarnings("ignore", message=r"os\.fork\(\) was called|.* is multi-threaded, use of fork")
            found = list(loader(Map("number"), num_workers=1, pin_memory=True, batch_size=11))
        assert [batch.tolist() for batch in found] == [list(range(11)), list(range(11, 22))]
        texts.append([str(warning.message) for warning in caught])
    assert texts[0] == texts[1]


def test_batches_are_views_that_last_and_slots_come_back() -> None:
    loader = DataLoader(Map("large"), batch_size=4, num_workers=1, persistent_workers=True)
    held = list(loader)
    values = [batch["image"][:, 0, 0, 0].tolist() for batch in held]
    addresses = set()
    for _ in range(4):
        for batch in loader:
            addresses.add(batch["image"].data_ptr())
            batch["image"].zero_()
            del batch
    # Two are being made, one is here, and one may be on its way.
    assert len(addresses) <= 4
    part = held[0]["image"][1:, 0]
    expected = part.clone()
    del held, loader
    gc.collect()
    assert values[0] == [0, 1, 2, 3]
    assert torch.equal(part, expected)


def test_batches_larger_than_the_first_need_no_slot_of_their_own() -> None:
    class Growing(Map):
        def __getitem__(self, index: int) -> Any:
            return torch.full((1 + index * 100,), index)

    compare(Growing("number"), num_workers=1, batch_size=1)
    compare(Growing("number"), num_workers=2, batch_size=None)


def test_long_pickles_and_index_lists() -> None:
    class Texts(Map):
        def __getitem__(self, index: int) -> Any:
            return "x" * 40 + str(index), index

    compare(Texts("number", 9000), num_workers=1, batch_size=4000)


def test_leaving_an_epoch_early_leaves_nothing() -> None:
    loader = DataLoader(Map("large", 200), batch_size=4, num_workers=2, shuffle=True)
    for _ in range(3):
        for _batch in loader:
            break
    keeps = DataLoader(Map("large", 200), batch_size=4, num_workers=2, persistent_workers=True)
    for epoch in range(3):
        for at, batch in enumerate(keeps):
            assert batch["label"].tolist() == list(range(4 * at, 4 * at + 4)), epoch
            if at == 2:
                break


def views(samples: list[Any]) -> Any:
    """What a collate function of one's own may return."""
    batch = torch.stack([torch.as_tensor(sample["image"]) for sample in samples])
    whole = batch.numpy().copy()
    return [
        batch,
        batch[:, :1],
        batch.transpose(1, 3),
        batch.contiguous(memory_format=torch.channels_last),
        batch[:, :, ::2, ::3],
        torch.ones(3, 1).expand(3, 4),
        torch.empty(4, 0, 2),
        batch[0],
        batch,
        whole[:, ::2],
        whole.astype("M8[s]"),
        np.array(["text", "s"]),
        np.array(5.0),
        np.empty((0, 3)),
    ]


def test_any_view_is_taken() -> None:
    theirs, ours = (list(loader(Map("large"), batch_size=5, num_workers=1, collate_fn=views)) for loader in LOADERS)
    for one, other in zip(ours, theirs, strict=True):
        for at, (mine, its) in enumerate(zip(one, other, strict=True)):
            assert mine.dtype == its.dtype
            assert mine.shape == its.shape
            assert np.array_equal(np.asarray(mine), np.asarray(its)), at
            if at in {0, 2, 3, 6, 7}:
                assert mine.stride() == its.stride(), at
        assert one[0] is one[8]


class Nothing(Map):
    """Samples without a byte."""

    def __getitem__(self, index: int) -> Any:
        return torch.empty(0, 2)


def test_batches_without_a_byte() -> None:
    compare(Nothing("number"), num_workers=1, batch_size=4)
    compare(Map("number"), num_workers=1, batch_size=4, collate_fn=len)


@pytest.mark.filterwarnings("ignore")
def test_requires_grad_sparse_and_quantized_are_torchs() -> None:
    class Unusual(Map):
        def __getitem__(self, index: int) -> Any:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return torch.eye(3).to_sparse() * index, torch.quantize_per_tensor(torch.ones(2), 0.5, 0, torch.qint8)

    def first(samples: list[Any]) -> Any:
        return [samples[0], torch.ones(2, 3, 4, 5).contiguous(memory_format=torch.channels_last)]

    results = [list(loader(Unusual("number", 4), num_workers=1, collate_fn=first)) for loader in LOADERS]
    for ours, theirs in zip(results[1], results[0], strict=True):
        assert torch.equal(ours[0][0].to_dense(), theirs[0][0].to_dense())
        assert torch.equal(ours[0][1].int_repr(), theirs[0][1].int_repr())
        assert ours[1].stride() == theirs[1].stride()
