"""`stokehold.torch.DataLoader` beside PyTorch's, over arguments drawn from the values that each parameter may have."""

from __future__ import annotations

import inspect
import random
import re
import warnings
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from torch.utils.data import BatchSampler, RandomSampler, SequentialSampler
from torch.utils.data import DataLoader as TorchDataLoader

from stokehold.torch import DataLoader
from test_torch_loader import ROWS, SAMPLES, Map, MapOfBatches, Stream, assert_equal, batches, listed, prepare

pytestmark = pytest.mark.usefixtures("torch_started")

CASES, QUICK = 128, 32

PARAMETERS = list(inspect.signature(TorchDataLoader.__init__).parameters.values())[1:]


def seeded() -> Any:
    return torch.Generator().manual_seed(3)


# What gives a value, for each parameter of PyTorch's that is not left at its default.
VALUES: dict[str, list[Any]] = {
    "dataset": [
        *(lambda name=name, kind=kind: kind(name) for name in ("drawn", "nested", "large") for kind in (Map, Stream)),
        lambda: MapOfBatches("array"),
        lambda: range(ROWS),
    ],
    "batch_size": [lambda: None, lambda: 4, lambda: 5, lambda: ROWS + 1],
    "shuffle": [lambda: True, lambda: False],
    "sampler": [
        lambda: RandomSampler(range(ROWS), num_samples=30, replacement=True),
        lambda: [3, 1, 4, 1, 5],
        lambda: SequentialSampler(range(9)),
    ],
    "batch_sampler": [
        lambda: BatchSampler(RandomSampler(range(ROWS), generator=seeded()), 3, drop_last=True),
        lambda: [[1, 2], [0], [7, 7, 7]],
    ],
    "num_workers": [lambda: 1, lambda: 2, lambda: 3],
    "collate_fn": [lambda: list],
    "pin_memory": [lambda: True],
    "drop_last": [lambda: True],
    "timeout": [lambda: 30],
    "worker_init_fn": [lambda: prepare],
    "multiprocessing_context": [lambda: "fork", lambda: torch.multiprocessing.get_context("fork")],
    "generator": [seeded],
    "prefetch_factor": [lambda: 1, lambda: 5],
    "persistent_workers": [lambda: True],
    "pin_memory_device": [lambda: ""],
    "in_order": [lambda: False],
}

WRONG: dict[str, Any] = {
    "batch_size": lambda: 0,
    "num_workers": lambda: -1,
    "timeout": lambda: -1,
    "multiprocessing_context": lambda: "telepathy",
    "prefetch_factor": lambda: -1,
    "collate_fn": lambda: listed,
}

NEED_WORKERS = {"timeout", "multiprocessing_context", "prefetch_factor", "persistent_workers"}


def drawn(case: int) -> dict[str, Any]:
    """Gives arguments. Those of each fourth case may exclude each other, and one of them may be wrong."""
    chance = random.Random(case)
    likely = {"dataset": 1, "num_workers": 0.8}
    given = {name: chance.choice(values) for name, values in VALUES.items() if chance.random() < likely.get(name, 0.5)}
    if case % 4 == 3:
        wrong = chance.choice([None, *WRONG])
        return given | ({wrong: WRONG[wrong]} if wrong else {})
    without: set[str] = set()
    if "num_workers" not in given:
        without |= NEED_WORKERS
    if isinstance(given["dataset"](), Stream):
        without |= {"shuffle", "sampler", "batch_sampler"}
    elif "batch_sampler" in given and chance.random() < 0.4:
        without |= {"batch_size", "shuffle", "sampler", "drop_last"}
    else:
        without |= {"batch_sampler", chance.choice(["shuffle", "sampler"])}
    if "batch_size" in given and given["batch_size"]() is None:
        without |= {"drop_last"}
    return {name: value for name, value in given.items() if name not in without}


def outcome(kind: Any, case: int) -> Any:
    """Gives the batches of two epochs, or the error, and the warnings."""
    torch.manual_seed(11)
    options = {name: make() for name, make in drawn(case).items()}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result: Any
        try:
            result = batches(kind(**options))
        except Exception as error:  # noqa: BLE001 (whatever PyTorch raises)
            result = type(error).__name__, re.sub(" at 0x[0-9a-f]+", "", str(error).split("\nOriginal Traceback")[0])
            if not options.get("in_order", True):
                # That of whichever worker was the first.
                result = re.sub("worker process [0-9]+", "a worker process", str(result))
        else:
            if not options.get("in_order", True) and options.get("num_workers", 0) > 1:
                # As quick as their workers.
                random_values = getattr(options["dataset"], "sample", None) is SAMPLES["drawn"]
                result = len(result) if random_values else sorted(map(repr, result))
    return result, sorted({str(warning.message) for warning in caught})


def test_the_signature_is_torchs() -> None:
    assert list(VALUES) == [each.name for each in PARAMETERS]
    ours = [each for each in inspect.signature(DataLoader.__init__).parameters.values() if each.name in VALUES]
    assert [(each.name, each.default, each.kind) for each in ours] == [
        (each.name, each.default, each.kind) for each in PARAMETERS
    ]


@pytest.mark.parametrize(
    "case", [*range(QUICK), *(pytest.param(case, marks=pytest.mark.thorough) for case in range(QUICK, CASES))]
)
def test_any_arguments_give_what_torch_gives(case: int) -> None:
    ours, theirs = outcome(DataLoader, case), outcome(TorchDataLoader, case)
    assert_equal(ours, theirs)


@pytest.mark.filterwarnings("ignore:This DataLoader will create")
def test_the_cases_are_mostly_loaders_and_some_are_errors() -> None:
    made = []
    for case in range(CASES):
        options = {name: make() for name, make in drawn(case).items()}
        try:
            TorchDataLoader(**options)
        except (TypeError, ValueError):
            continue
        made.append(options)
    assert CASES * 3 // 4 <= len(made) < CASES
    assert {name for options in made for name in options} == set(VALUES)
    assert {options.get("num_workers", 0) for options in made} == {0, 1, 2, 3}
