"""What the features of a Hugging Face dataset say of its columns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from stokehold.arrow.types import Hint

__all__ = ["hints_of"]

_ARRAYS: Final = {"Array2D": 2, "Array3D": 3, "Array4D": 4, "Array5D": 5}
_LISTS: Final = frozenset({"List", "LargeList", "Sequence"})
_PLAIN: Final = frozenset({"Value", "Translation", "ClassLabel", *_LISTS})
_KINDS: Final = {"Image": Hint("image"), "Audio": Hint("bytes"), "Json": Hint()}


def hints_of(owner: str, features: object) -> dict[str, Hint]:
    """Returns for each column that features say something of what that is.

    Args:
        owner: Who asks, for errors.
        features: The features as JSON has them.

    Raises:
        ValueError: They are no features.
    """
    if not isinstance(features, Mapping):
        raise ValueError(f"{owner}: the features are a {type(features).__name__}")  # noqa: TRY004 (a file's fault)
    try:
        return dict(_below("", features))
    except RecursionError as error:
        raise ValueError(f"{owner}: the features are nested too deep") from error


def _below(above: str, features: Mapping[str, Any]) -> Iterator[tuple[str, Hint]]:
    for key, feature in features.items():
        name = f"{above}{key}"
        kind = feature.get("_type") if isinstance(feature, Mapping) else None
        if isinstance(feature, Mapping) and not isinstance(kind, str):
            # A struct, which may have a column that is called so.
            yield from _below(f"{name}.", feature)
        elif isinstance(feature, Mapping) and (hint := _hint(feature, str(kind))) is not None:
            yield name, hint
        elif kind == "Sequence" and isinstance(inner := feature.get("feature"), Mapping) and "_type" not in inner:
            # As older versions wrote it: a struct of lists.
            yield from _below(f"{name}.", inner)


def _hint(feature: Mapping[str, Any], kind: str) -> Hint | None:
    if kind in _KINDS:
        return _KINDS[kind]
    if kind in _ARRAYS:
        return _array(kind, feature.get("shape"))
    if kind not in _PLAIN:
        return Hint("refused", reason=f"is of the feature {kind}, for which there is no kind of field")
    names = _names(feature)
    if kind in _LISTS and isinstance(inner := feature.get("feature"), Mapping):
        names = _names(inner)
    return Hint(names=names) if names else None


def _array(kind: str, shape: object) -> Hint:
    extents = list(shape) if isinstance(shape, list | tuple) else []
    fixed = extents[1:] if extents[:1] == [None] else extents
    if len(extents) != _ARRAYS[kind] or not all(isinstance(extent, int) and extent > 0 for extent in fixed):
        return Hint("refused", reason=f"is a {kind} of shape {shape}")
    return Hint(shape=tuple(extents))


def _names(feature: Mapping[str, Any]) -> list[str]:
    names = feature.get("names") if feature.get("_type") == "ClassLabel" else None
    return [str(name) for name in names] if isinstance(names, list | tuple) else []
