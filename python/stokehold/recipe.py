"""What is made of samples, as data for the core and as functions that it calls."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from stokehold.columns import field_name
from stokehold.mix import BatchTransform
from stokehold.sources import Source
from stokehold.transforms import Compose, Map, Transform
from stokehold.transforms.composed import described, is_for_batches, is_step
from stokehold.user.code import Rng
from stokehold.user.functions import Function, called
from stokehold.user.mapped import Mapped, MappedStream, NativeSamples
from stokehold.user.streams import is_iterable

__all__ = ["Transforms", "batch_chain", "chains", "draws_of", "mapped", "stages"]

Transforms: TypeAlias = Mapping[str, Sequence[Transform | Callable[..., Any]] | Compose]
"""The transforms of fields, by their names."""


def chains(transforms: Transforms, functions: list[Function]) -> dict[str, list[dict[str, Any]]]:
    """Returns the transforms of each field as plain data, and adds the functions that they call."""
    made = {}
    for field, given in transforms.items():
        steps = given.transforms if isinstance(given, Compose) else given
        if not isinstance(steps, Sequence) or not all(is_step(step) for step in steps):
            raise TypeError(
                f"transforms of field `{field}` must be a list of stokehold's transforms and of functions, not "
                f"{steps!r}"
            )
        made[field_name(field)] = [described(step, functions) for step in steps]
    return made


def stages(
    transforms: Transforms | Sequence[Transforms | Map] | None,
) -> tuple[Transforms, Sequence[Map], Transforms]:
    """Returns the transforms of fields before any `Map`, the maps, and the transforms of fields after them."""
    if transforms is None or isinstance(transforms, Mapping):
        return {}, [], transforms or {}
    listed = list(transforms) if isinstance(transforms, Sequence) and not isinstance(transforms, str) else None
    if listed is None or not all(isinstance(stage, Mapping | Map) for stage in listed):
        raise TypeError(
            f"transforms must map fields to lists of transforms, or be a list of such and of Map, not {transforms!r}"
        )
    maps = [at for at, stage in enumerate(listed) if isinstance(stage, Map)]
    first, end = (maps[0], maps[-1] + 1) if maps else (0, 0)
    if first > 1 or len(listed) - end > 1 or end - first != len(maps):
        raise ValueError("transforms: the Maps of a list follow each other, with transforms of fields before and after")
    before: Any = listed[0] if first else {}
    after: Any = listed[end] if end < len(listed) else {}
    return before, [stage for stage in listed[first:end] if isinstance(stage, Map)], after


def mapped(
    source: object,
    maps: Sequence[Map],
    names: Sequence[str] | None,
    *,
    before: Transforms,
    draws: Mapping[str, str],
    options: Mapping[str, Any],
    rng: Rng,
) -> Mapped | MappedStream:
    """Returns a source, with what is done before functions get whole samples, and those functions, as a dataset."""
    samples: object = source
    if isinstance(source, Source):
        functions: list[Function] = []
        spec, memory = source.data()
        recipe = {"transforms": chains(before, functions), "draws": draws_of(draws)}
        described = {"source": spec, "recipe": recipe, "seed": options["seed"]}
        most = options.get("max_sample_bytes")
        samples = NativeSamples(described | {"max_sample_bytes": most}, memory, functions, rng)
    elif before:
        raise ValueError("transforms: with a dataset of Python, a Map comes first")
    made = Mapped(samples, [Function(step.function, "array") for step in maps], names, rng)
    return MappedStream(made) if is_iterable(samples) else made


def draws_of(draws: Mapping[str, str]) -> dict[str, str]:
    """Returns which fields draw as which, by name."""
    if not isinstance(draws, Mapping):
        raise TypeError(f"draws must map fields to fields, not be {type(draws).__name__}")
    return {field_name(name): field_name(of) for name, of in draws.items()}


def batch_chain(
    transforms: Sequence[BatchTransform | Callable[..., Any]], functions: list[Function]
) -> list[dict[str, Any]]:
    """Returns the transforms of batches as plain data, and adds the functions that they call."""
    if not isinstance(transforms, Sequence) or not all(
        is_for_batches(step) or (callable(step) and not isinstance(step, type | Transform)) for step in transforms
    ):
        raise TypeError(
            f"batch_transforms must be a list of MixUp, CutMix, RandomChoice and functions, not {transforms!r}"
        )
    chain = []
    for step in transforms:
        if isinstance(step, BatchTransform):
            chain.append(step.spec())
        else:
            functions.append(Function(step, "array"))
            chain.append({"op": "Call", "function": len(functions) - 1, "name": called(step)})
    return chain
