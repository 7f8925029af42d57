"""What is made of samples, as data for the core and as functions that it calls."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, TypeAlias

from stokehold.checks import items, mapping, shown, text
from stokehold.hints import step_hint
from stokehold.mix import BatchTransform
from stokehold.sources import Source
from stokehold.transforms import Compose, Map, Transform, View
from stokehold.transforms.composed import described, is_for_batches, is_step
from stokehold.user.code import Rng
from stokehold.user.functions import Function, called
from stokehold.user.mapped import Mapped, MappedStream, NativeSamples
from stokehold.user.streams import is_iterable

__all__ = ["Transforms", "batch_chain", "chains", "draws_of", "mapped", "stages", "views_of"]

Transforms: TypeAlias = Mapping[str, Sequence[Transform | Callable[..., Any]] | Compose | View]
"""The transforms of fields, by their names, and views of fields."""

_MEANING: Final = "a mapping of fields to lists of transforms, or a list of such and of Map"


def chains(
    transforms: Transforms, functions: list[Function], *, of: str = "Loader: transforms"
) -> dict[str, list[dict[str, Any]]]:
    """Returns the transforms of each field as plain data, and adds the functions that they call; `of` names them."""
    made = {}
    for field, given in mapping(of, transforms, _MEANING).items():
        what = f"{of}[{field!r}]"
        listed = given.transforms if isinstance(given, View) else given
        steps = listed.transforms if isinstance(listed, Compose) else listed
        if isinstance(steps, Transform | type) or (callable(steps) and not isinstance(steps, Iterable)):
            hint = "" if isinstance(steps, type) else ": write it in a list"
            raise TypeError(f"{what} must be a list of transforms and functions, not {step_hint(steps)}{hint}")
        steps = items(what, steps, "a list of transforms and functions")
        for at, step in enumerate(steps):
            if not is_step(step):
                raise TypeError(f"{what}[{at}] must be a transform or a function, not {step_hint(step)}")
        made[field] = [described(step, functions) for step in steps]
    return made


def views_of(transforms: Transforms) -> list[dict[str, Any]]:
    """Returns the fields that are made of others, as plain data."""
    views = {name: view for name, view in transforms.items() if isinstance(view, View)}
    return [{"name": name, "of": view.of, "image": view.image} for name, view in views.items()]


def stages(
    transforms: Transforms | Sequence[Transforms | Map] | None,
) -> tuple[Transforms, Sequence[Map], Transforms]:
    """Returns the transforms of fields before any `Map`, the maps, and the transforms of fields after them."""
    if transforms is None or isinstance(transforms, Mapping):
        return {}, [], transforms or {}
    what = f"Loader: transforms must be {_MEANING}"
    if isinstance(transforms, Transform | Map | str) or not isinstance(transforms, Iterable):
        raise TypeError(f"{what}, not {step_hint(transforms)}")
    listed = items("Loader: transforms", transforms, _MEANING)
    for at, stage in enumerate(listed):
        if not isinstance(stage, Mapping | Map):
            raise TypeError(f"{what}; the list has {step_hint(stage)} at {at}")
        if at and isinstance(stage, Mapping) and isinstance(listed[at - 1], Mapping):
            raise ValueError(
                f"Loader: transforms has two mappings at {at - 1} and {at}, with no Map between them: write one, "
                "with the transforms of each field in one list"
            )
    maps = [at for at, stage in enumerate(listed) if isinstance(stage, Map)]
    first, end = (maps[0], maps[-1] + 1) if maps else (0, 0)
    if end - first != len(maps):
        raise ValueError(
            "Loader: transforms: the Maps of a list follow each other, with transforms of fields before and after"
        )
    before: Any = listed[0] if first else {}
    after: Any = listed[end] if end < len(listed) else {}
    return before, listed[first:end], after


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
        recipe = {
            "transforms": chains(before, functions),
            "views": views_of(before),
            "draws": draws_of(draws),
        }
        described = {"source": spec, "recipe": recipe, "seed": options["seed"]}
        most = options.get("max_sample_bytes")
        samples = NativeSamples(described | {"max_sample_bytes": most}, memory, functions, rng)
    elif before:
        raise ValueError("Loader: transforms: with a dataset of Python, a Map comes first")
    made = Mapped(samples, [Function(step.function, "array") for step in maps], names, rng)
    made.draws_others = has_op(chains(before, []), "Mosaic")
    return MappedStream(made) if is_iterable(samples) else made


def has_op(data: object, op: str) -> bool:
    """Tells whether transforms, as plain data, have one of this name among them or within."""
    if isinstance(data, Mapping):
        return data.get("op") == op or any(has_op(each, op) for each in data.values())
    return isinstance(data, list | tuple) and any(has_op(each, op) for each in data)


def draws_of(draws: Mapping[str, str] | None) -> dict[str, str]:
    """Returns which fields draw as which, by name."""
    if draws is None:
        return {}
    if not isinstance(draws, Mapping):
        raise TypeError(f"Loader: draws must map fields to fields, not be {shown(draws)}")
    found = mapping("Loader: draws", draws, "a mapping of fields to fields")
    return {name: text(f"Loader: draws[{name!r}]", of, "the name of a field") for name, of in found.items()}


def batch_chain(
    transforms: Sequence[BatchTransform | Callable[..., Any]], functions: list[Function]
) -> list[dict[str, Any]]:
    """Returns the transforms of batches as plain data, and adds the functions that they call."""
    meaning = "a list of MixUp, CutMix and the like, and of functions"
    if isinstance(transforms, BatchTransform | Transform):
        raise TypeError(f"Loader: batch_transforms must be {meaning}, not {shown(transforms)}: write it in a list")
    chain = []
    for at, step in enumerate(items("Loader: batch_transforms", transforms, meaning)):
        if isinstance(step, BatchTransform) and is_for_batches(step):
            chain.append(step.spec())
            continue
        is_torchvisions = type(step).__module__.startswith("torchvision.")
        if not callable(step) or isinstance(step, type | Transform) or is_torchvisions:
            what = "a transform of batches or a function"
            raise TypeError(f"Loader: batch_transforms[{at}] must be {what}, not {_batch_hint(step)}")
        functions.append(Function(step, "array"))
        chain.append({"op": "Call", "function": len(functions) - 1, "name": called(step)})
    return chain


def _batch_hint(step: object) -> str:
    if isinstance(step, Transform):
        return f"{type(step).__name__}, which is for samples: transforms={{'image': [...]}} takes it"
    return step_hint(step)
