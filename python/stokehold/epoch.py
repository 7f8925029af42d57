"""The batches of one epoch, and as what they are given."""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

from stokehold import _native
from stokehold.trees import register

__all__ = ["NOBODY_KNOWS", "Epoch", "places_of", "tuple_of"]

NOBODY_KNOWS: Final = "nobody knows how many batches of an iterable dataset are still to come"


class Epoch(Iterator[Any]):
    """One epoch's batches. Goes on after an error in a batch."""

    __slots__ = ("__weakref__", "_given", "_is_endless", "_is_untouched", "_iteration", "_listed", "_native")

    def __init__(
        self,
        native: _native.Loader,
        given: Callable[[_native.Batch], Any],
        listed: Callable[[_native.Loader, int], None],
        *,
        is_endless: bool,
    ) -> None:
        self._native = native
        self._given = given
        self._listed = listed
        self._is_endless = is_endless
        self._is_untouched = True
        self._iteration = self._begun()
        register()

    def begin_anew(self) -> None:
        """Begins the epoch that has been set in the meantime, unless something has been taken of this one."""
        if self._is_untouched:
            self._iteration = self._begun()

    def _begun(self) -> int:
        """Begins the next epoch, of which the order is to be known."""
        self._listed(self._native, self._native.upcoming)
        return self._native.begin()

    def __next__(self) -> Any:  # noqa: ANN401 (a batch, a named tuple or a sample)
        self._is_untouched = False
        native = self._native.next(self._iteration)
        if native is None:
            raise StopIteration
        return self._given(native)

    def __len__(self) -> int:
        """Returns how many batches are still to come."""
        if self._is_endless:
            raise TypeError(NOBODY_KNOWS)
        return self._native.remaining_of(self._iteration)


def places_of(native: _native.Loader, valid_field: str | None) -> dict[str, int | None]:
    """Returns where each field is, and none for the mask, which is no field of the core."""
    places: dict[str, int | None] = {name: at for at, (name, *_) in enumerate(native.fields)}
    if valid_field in places:
        native.close()
        known = ", ".join(places)
        raise ValueError(
            f"Loader: valid_field must be a name that no other field has, not {valid_field!r}: the fields are {known}"
        )
    return places if valid_field is None else {**places, valid_field: None}


def tuple_of(names: Iterable[str]) -> type[tuple[Any, ...]]:
    """Returns the class of batches that are named tuples."""
    return namedtuple("BatchTuple", names, rename=True)  # noqa: PYI024 (the names come late)
