"""What somebody meant who gave an argument that another library's loader has, or a thing of another kind."""

from __future__ import annotations

import difflib
import functools
import inspect
import sys
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

from stokehold.checks import shown

__all__ = ["by_keyword", "hinted", "step_hint", "table_hint"]

Init = TypeVar("Init", bound=Callable[..., None])

DROP_IN: Final = "stokehold.torch.DataLoader takes it as torch.utils.data.DataLoader does"

LOADER: Final = {
    "sampler": (
        "the order is shuffle= and seed=, or order=, which takes Weighted(weights) and Explicit(indices), and a part "
        f"of the samples source.select(indices); {DROP_IN}"
    ),
    "batch_sampler": f"batches are batch_size=, shuffle= and drop_last=; {DROP_IN}",
    "collate_fn": (
        "a batch lies in its slot already; batch_transforms= takes functions of whole batches, and batch_type='tuple' "
        f"gives tuples; {DROP_IN}"
    ),
    "pin_memory": f"pin a batch by batch.pin_memory(); {DROP_IN}",
    "pin_memory_device": f"pin a batch by batch.pin_memory(), and move it by batch.to(device); {DROP_IN}",
    "persistent_workers": f"workers always stay from epoch to epoch, until loader.close(); {DROP_IN}",
    "prefetch_factor": f"prefetch= is how many batches are made ahead, in total and not for each worker; {DROP_IN}",
    "timeout": f"stall_timeout= is how many seconds a worker may take for a sample; {DROP_IN}",
    "worker_init_fn": f"worker_init= is called in each worker with its number; {DROP_IN}",
    "generator": f"seed= is all that random choices follow from, and set_epoch() the epoch; {DROP_IN}",
    "multiprocessing_context": f"start= says how the workers are started; {DROP_IN}",
    "in_order": f"batches always come in order; {DROP_IN}",
    "dataset": "write it first, without a name, or as source=",
    "transform": "transforms={'image': [...]} are those of a field, in order",
}
"""Arguments of PyTorch's ``DataLoader``, and others that people look for, with what stands for them."""


def hinted(others: Mapping[str, str] | Callable[[str], str], owner: str, first: str) -> Callable[[Init], Init]:
    """Returns a decorator of an ``__init__`` with one positional argument, `first`, for errors that name what to write.

    Args:
        others: For names of arguments that there are not, what stands for them; or a function of the name that tells.
        owner: The class, for the errors.
        first: The positional argument.
    """

    def decorate(init: Init) -> Init:
        known = [name for name in inspect.signature(init).parameters if name != "self"]

        @functools.wraps(init)
        def checked(*given: Any, **named: Any) -> None:  # noqa: ANN401 (whatever a user gives)
            if len(given) > len(("self", first)):
                more = ", ".join(map(shown, given[2:5]))
                keyword = f": write the others as keywords, such as {known[1]}={shown(given[2])}" if known[1:] else ""
                raise TypeError(f"{owner}: only {first} is a positional argument, and {more} came after it{keyword}")
            for name in named:
                if name not in known:
                    raise TypeError(f"{owner}: there is no argument {name}: {_instead(name, others, known)}")
            if len(given) == 1 and first not in named:
                raise TypeError(f"{owner}: {first} is missing")
            init(*given, **named)

        return checked  # type: ignore[return-value]

    return decorate


def by_keyword(owner: str) -> Callable[[str], str]:
    """Returns what says, of names that were given as keywords, that they belong into a mapping."""
    return lambda name: f"names of fields go into one mapping, {owner}({{{name!r}: ...}})"


def _instead(name: str, others: Mapping[str, str] | Callable[[str], str], known: list[str]) -> str:
    if callable(others):
        return others(name)
    if name in others:
        return others[name]
    close = difflib.get_close_matches(name, known, 1)
    return f"is {close[0]} meant?" if close else f"there are {', '.join(known)}"


def step_hint(step: object) -> str:
    """Returns what is wrong with something that was given for a transform: it is a class, or torchvision's."""
    if isinstance(step, type):
        return f"the class {step.__name__}: make one, {step.__name__}(...)"
    kind = type(step)
    if kind.__module__.startswith("torchvision.") and hasattr(sys.modules.get("stokehold"), kind.__name__):
        return f"torchvision's {kind.__name__}: take stokehold.{kind.__name__}"
    return shown(step)


def table_hint(value: object) -> str:
    """Returns how the columns of a data frame become a source; nothing for anything else."""
    root = type(value).__module__.partition(".")[0]
    if root not in {"pandas", "polars", "pyarrow"} or type(value).__name__ not in {"DataFrame", "LazyFrame", "Table"}:
        return ""
    if root == "pyarrow":
        return "for a table of pyarrow, write it to a file for Arrow(path), or give Table its columns by name"
    return (
        f"for a DataFrame of {root}, give its columns by name: Table({{name: df[name] for name in df.columns}}), with "
        "Images(df[name]) for those that are paths of images"
    )
