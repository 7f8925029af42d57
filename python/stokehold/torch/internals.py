"""What the drop-in takes for granted of the inner parts of PyTorch and torchdata, and whether theirs are like that.

No other file imports them. A release that has them otherwise gets its own iterator, and a warning that says so.

The messages have no names: a task is a tuple of its number and more, or a word that is passed on; a batch is a tuple of
its task's number and a value, which in torchdata is a tuple that begins with what PyTorch's is.
"""

from __future__ import annotations

import inspect
import warnings
from functools import cache
from importlib import metadata
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import stokehold
from stokehold.torch.warned import users_level

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["are_known", "departures"]

PARTS: Final = {
    "BaseIterator": "torch.utils.data.dataloader:_BaseDataLoaderIter",
    "CHECK_INTERVAL": "torch.utils.data._utils:MP_STATUS_CHECK_INTERVAL",
    "DATASET_STATE": "torchdata.stateful_dataloader.incremental_state:_DATASET_STATE",
    "DatasetKind": "torch.utils.data:_DatasetKind",
    **{
        name.strip("_").upper(): f"torchdata.stateful_dataloader.stateful_dataloader:{name}"
        for name in (
            "_FETCHER_STATE",
            "_INDEX_SAMPLER_STATE",
            "_ITERABLEDATASET_LEN_CALLED",
            "_ITERATOR_FINISHED",
            "_SAMPLER_ITER_STATE",
            "_SAMPLER_ITER_YIELDED",
            "_SHARED_SEED",
        )
    },
    "ExceptionWrapper": "torch._utils:ExceptionWrapper",
    "TorchIterator": "torch.utils.data.dataloader:_MultiProcessingDataLoaderIter",
    "TorchFetcher": "torch.utils.data._utils.fetch:_MapDatasetFetcher",
    "TorchdataInline": "torchdata.stateful_dataloader.stateful_dataloader:_StatefulSingleProcessDataLoaderIter",
    "TorchdataIterator": "torchdata.stateful_dataloader.stateful_dataloader:_StatefulMultiProcessingDataLoaderIter",
    "collation": "torch.utils.data._utils.collate",
    "profiler_enabled": "torch._C._autograd:_profiler_enabled",
    "remove_worker_pids": "torch.utils.data._utils.signal_handling:_remove_worker_pids",
}
"""The parts that are used, and where they are: `from stokehold.torch.internals import TorchIterator` looks there."""


class Code(NamedTuple):
    """What a function of theirs is like."""

    first: tuple[str, ...] = ()
    """Its first parameters, which are given, or taken, by position."""
    among: tuple[str, ...] = ()
    """Parameters that it has, in this order."""
    uses: tuple[str, ...] = ()
    """Names of globals and attributes that its code uses, in the order in which each comes first."""


_ASKS: Final = (
    "multiprocessing_context",
    "Queue",
    "_worker_result_queue",
    "Event",
    "_workers_done_event",
    "Process",
)
"""What an iterator asks a loader's context for: first the queue of results, then one of indices for each worker."""

_ITERATOR: Final = {
    "_try_get_data": Code(("self", "timeout"), uses=("_data_queue", "get")),
    "_get_data": Code(("self",), uses=("_try_get_data",)),
    "_next_data": Code(("self",), uses=("_workers_status", "_get_data")),
    "_mark_worker_as_unavailable": Code(("self", "worker_id"), uses=("_index_queues", "put")),
    "_shutdown_workers": Code(("self",), uses=("_shutdown", "_workers", "_worker_pids_set")),
    "_reset": Code(("self", "loader"), uses=("_workers_status", "_worker_queue_idx_cycle")),
    "_process_data": Code(("self", "data"), uses=("_try_put_index", "reraise")),
    "_try_put_index": Code(("self",), uses=("_tasks_outstanding", "_next_index", "_index_queues", "put")),
}

COLLATED: Final = ("tensor", "numpy_array", "numpy_scalar", "float", "int", "str")
"""Kinds of samples with a function in PyTorch's table."""

CODE: Final[dict[str, Code]] = {
    "torch.utils.data:DataLoader.__init__": Code(uses=("_dataset_kind", "_iterator")),
    "torch.utils.data:DataLoader._get_iterator": Code(("self",), uses=("check_worker_number_rationality",)),
    "torch.utils.data:_DatasetKind.create_fetcher": Code(
        ("kind", "dataset", "auto_collation", "collate_fn", "drop_last")
    ),
    "torch.utils.data._utils.worker:_worker_loop": Code(
        among=("index_queue", "data_queue", "done_event", "collate_fn", "worker_id"),
        uses=("create_fetcher", "get", "put"),
    ),
    f"{PARTS['ExceptionWrapper']}.__init__": Code(("self", "exc_info", "where")),
    f"{PARTS['TorchFetcher']}.__init__": Code(("self", "dataset", "auto_collation", "collate_fn", "drop_last")),
    f"{PARTS['TorchFetcher']}.fetch": Code(
        ("self", "possibly_batched_index"), uses=("auto_collation", "dataset", "__getitems__", "collate_fn")
    ),
    f"{PARTS['collation']}:default_collate": Code(uses=("collate", "default_collate_fn_map")),
    **{
        f"{PARTS['collation']}:{name}": Code(("batch",), ("collate_fn_map",))
        for name in ("collate", *(f"collate_{kind}_fn" for kind in COLLATED))
    },
    f"{PARTS['BaseIterator']}.__init__": Code(("self", "loader"), uses=("warnings", "_sampler_iter", "_base_seed")),
    f"{PARTS['BaseIterator']}.__next__": Code(("self",), uses=("_next_data", "_num_yielded")),
    "torch.utils.data:DataLoader.check_worker_number_rationality": Code(("self",)),
    f"{PARTS['TorchIterator']}.__init__": Code(("self", "loader"), uses=(*_ASKS, "_reset")),
    **{f"{PARTS['TorchIterator']}.{name}": code for name, code in _ITERATOR.items()},
    "torchdata.stateful_dataloader.worker:_worker_loop": Code(
        among=("index_queue", "data_queue", "done_event", "collate_fn", "worker_id", "worker_state"),
        uses=("create_fetcher", "get", "put"),
    ),
    "torchdata.stateful_dataloader:StatefulDataLoader._get_iterator": Code(("self",), uses=("next_iter_state",)),
    f"{PARTS['TorchdataInline']}.load_state_dict": Code(("self", "state_dict"), uses=("_NUM_YIELDED",)),
    f"{PARTS['TorchdataIterator']}.__init__": Code(("self", "loader", "next_iter_state"), uses=_ASKS),
    f"{PARTS['TorchdataIterator']}.state_dict": Code(("self",), uses=("_SNAPSHOT",)),
    f"{PARTS['TorchdataIterator']}._get_main_state": Code(("self",), uses=("_NUM_WORKERS",)),
    f"{PARTS['TorchdataIterator']}._update_snapshot": Code(
        ("self",), uses=("_LAST_YIELDED_WORKER_ID", "_MAIN_SNAPSHOT", "_WORKER_SNAPSHOTS")
    ),
    **{f"{PARTS['TorchdataIterator']}.{name}": code for name, code in _ITERATOR.items()},
}
"""The functions that are called, that are replaced, or whose doings are relied on."""


def __getattr__(name: str) -> Any:
    if name in PARTS:
        return resolve_name(PARTS[name])
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def departures(package: str) -> Iterator[str]:
    """Says in what the parts of a package that is installed, torch or torchdata, are not as they are taken to be."""
    for path in [path for path in [*PARTS.values(), *CODE] if path.startswith((f"{package}.", f"{package}:"))]:
        try:
            part = resolve_name(path)
        except (AttributeError, ImportError):
            yield f"there is no {path}"
            continue
        if path in CODE:
            yield from _differences(path, part, CODE[path])


def _differences(path: str, function: Any, code: Code) -> Iterator[str]:
    parameters = list(inspect.signature(function).parameters)
    if tuple(parameters[: len(code.first)]) != code.first or not _in_order(code.among, parameters):
        yield f"the parameters of {path} are {', '.join(parameters)}"
    if not _in_order(code.uses, inspect.unwrap(function).__code__.co_names):
        yield f"{path} does not use {', '.join(code.uses)}"


def _in_order(some: Iterable[str], names: Iterable[str]) -> bool:
    left = iter(names)
    return all(name in left for name in some)


@cache
def are_known(package: str) -> bool:
    """Tells whether a package has the parts that the drop-in needs; warns the first time if it has not."""
    found = DEPARTURES if package == "torch" else tuple(departures(package))
    if found:
        warnings.warn(
            f"stokehold {stokehold.__version__} does not know the inner parts of {package} "
            f"{metadata.version(package)}, whose own workers load the data instead: {'; '.join(found)}",
            stacklevel=users_level(),
        )
    return not found


DEPARTURES: Final = tuple(departures("torch"))
"""Those of PyTorch, sought when this is imported."""
