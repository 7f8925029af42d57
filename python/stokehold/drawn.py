"""One sample, with what was drawn for it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

__all__ = ["Drawn", "Sample"]


class Drawn(NamedTuple):
    """What was drawn for a transform."""

    transform: str
    """The transform's name; of a function among transforms, the function's."""
    parameters: dict[str, Any]
    """What was drawn, by torchvision's names where it has some: numbers, truth values, lists of these, and None. Of a
    transform that is made of others, ``transforms`` are those that were done, each a `Drawn`, in their order. See
    docs/transforms.md for those of each transform."""


class Sample(dict[str, Any]):
    """A sample's fields by name, as `Loader.sample` gives them, and what was drawn for it."""

    drawn: dict[str | None, list[Drawn]]
    """For each field whose transforms draw, what they drew, in their order.

    Under None, what was drawn for the sample as a whole: the seeds of the generators that a dataset or a `Map` draws
    from.
    """

    def __init__(self, fields: Mapping[str, Any], drawn: Mapping[str | None, Iterable[Drawn]]) -> None:
        super().__init__(fields)
        self.drawn = {field: list(each) for field, each in drawn.items()}


def told(text: str) -> dict[str | None, list[Drawn]]:
    """Returns by fields what the core has told, as JSON."""
    found: dict[str | None, list[Drawn]] = {}
    for field, transform, parameters in json.loads(text):
        found.setdefault(field or None, []).append(_drawn(transform, parameters))
    return found


def _drawn(transform: str, parameters: dict[str, Any]) -> Drawn:
    parts = parameters.get("transforms")
    if parts is not None:
        parameters["transforms"] = [_drawn(*part) for part in parts]
    return Drawn(transform, parameters)
