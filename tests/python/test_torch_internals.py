"""What `stokehold.torch` takes for granted of PyTorch's inner parts, and what it does where they are otherwise."""

from __future__ import annotations

import re
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

import stokehold as sh
from stokehold.torch import internals
from support import run_trainer

FETCHER = "torch.utils.data._utils.fetch._MapDatasetFetcher"
ITERATOR = "torch.utils.data.dataloader._MultiProcessingDataLoaderIter"


@pytest.mark.parametrize("package", ["torch", "torchdata"])
def test_the_parts_are_known(package: str) -> None:
    """If not, all other tests would compare PyTorch with itself."""
    pytest.importorskip(package)
    assert not list(internals.departures(package))


def with_more_parameters(self: Any, data: Any, worker_idx: int, more: Any) -> Any:
    self._try_put_index()
    data.reraise()
    return worker_idx, more


@pytest.mark.parametrize(
    ("path", "change", "found"),
    [
        (FETCHER, None, "there is no torch.utils.data._utils.fetch:_MapDatasetFetcher"),
        (f"{ITERATOR}._try_get_data", lambda self: self._data_queue.get(), "the parameters of .* are self"),
        (
            "torch.utils.data._DatasetKind.create_fetcher",
            lambda dataset, kind, auto_collation, collate_fn, drop_last: None,  # noqa: ARG005
            "the parameters of .* are dataset, kind, .*",
        ),
        (f"{ITERATOR}.__init__", lambda self, loader: None, ".* does not use multiprocessing_context, .*"),  # noqa: ARG005
        (f"{ITERATOR}._process_data", with_more_parameters, None),
    ],
    ids=["no name", "a parameter less", "another order", "other code", "a parameter more"],
)
def test_a_part_that_is_otherwise_is_found(
    monkeypatch: pytest.MonkeyPatch, path: str, change: Callable[..., Any] | None, found: str | None
) -> None:
    if change is None:
        monkeypatch.delattr(path)
    else:
        monkeypatch.setattr(path, change)
    departures = list(internals.departures("torch"))
    assert bool(departures) == (found is not None)
    assert all(re.match(found or "", departure) for departure in departures)


OTHERWISE = """
import warnings
import torch
from {package} import {kind} as Theirs
{change}
from stokehold.torch import {kind}

class Drawn(torch.utils.data.Dataset):
    def __len__(self): return 12
    def __getitem__(self, index): return torch.rand(2) + index

def batches(kind):
    torch.manual_seed(1)
    return torch.stack(list(kind(Drawn(), batch_size=3, shuffle=True, num_workers=2))).tolist()

with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    assert batches({kind}) == batches(Theirs) == batches({kind})
assert "stokehold.torch.iterator" not in sys.modules
say([str(each.message) for each in caught if each.filename == "<string>"])
"""

A_PARAMETER = """
theirs = torch.utils.data._DatasetKind.create_fetcher
def create_fetcher(kind, samples, *others): return theirs(kind, samples, *others)
torch.utils.data._DatasetKind.create_fetcher = staticmethod(create_fetcher)
"""

OTHER_CODE = """
theirs = Theirs._get_iterator
def _get_iterator(self): return theirs(self)
Theirs._get_iterator = _get_iterator
"""


@pytest.mark.timeout(300)  # The trainer imports PyTorch, which takes a minute on a busy machine.
@pytest.mark.parametrize(
    ("package", "change"),
    [
        ("torch.utils.data", "del torch._utils.ExceptionWrapper"),
        ("torch.utils.data", A_PARAMETER),
        ("torchdata.stateful_dataloader", OTHER_CODE),
    ],
    ids=["name", "parameter", "torchdata"],
)
def test_where_a_part_is_otherwise_the_workers_are_theirs(package: str, change: str) -> None:
    pytest.importorskip(package)
    kind = "StatefulDataLoader" if "torchdata" in package else "DataLoader"
    status, out, errors = run_trainer(OTHERWISE.format(package=package, change=change, kind=kind))
    assert (status, errors) == (0, "")
    (warning,) = eval(out)  # noqa: S307 (what the code above prints)
    name = package.split(".", maxsplit=1)[0]
    assert f"stokehold {sh.__version__} does not know the inner parts of {name} {metadata.version(name)}, " in warning


def test_no_other_file_imports_inner_parts() -> None:
    package = Path(internals.__file__).parent
    private = re.compile(r"\btorch(data)?\b[\w.]*\._|^\s*from torch[\w.]* import .*\b_", re.MULTILINE)
    files = [file.name for file in package.glob("*.py") if private.search(file.read_text())]
    assert files == ["internals.py"]


PROFILED = """
import re, torch, stokehold.torch, warnings
from torch.profiler import ProfilerActivity, profile
warnings.filterwarnings("ignore", "'set_vital' is deprecated")
iterator = iter(stokehold.torch.KIND(range(8), num_workers=1))
next(iterator)
with profile(activities=[ProfilerActivity.CPU]) as found:
    batches = [int(next(iterator)) for _ in range(3)]
marks = [event.name for event in found.events() if re.match(r"enumerate[(]DataLoader[)]#.*__next__", event.name)]
print(batches, len(marks), [int(batch) for batch in iterator])
"""


@pytest.mark.parametrize("kind", ["DataLoader", "StatefulDataLoader"])
def test_a_profile_has_the_batches_that_came_while_it_was_made(kind: str) -> None:
    status, output, _ = run_trainer(PROFILED.replace("KIND", kind))
    assert (status, output) == (0, "[1, 2, 3] 3 [4, 5, 6, 7]\n")
