"""How samples become batches, where these are not so many samples each: what all cuts have."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from stokehold import _native
from stokehold.user.functions import Function

__all__ = ["Cut"]


class Cut:
    """The base of all cuts."""

    fields: Mapping[str, float] = MappingProxyType({})
    """The fields that are cut, with what stands for padding."""
    padding: bool = True
    """Whether samples are padded to one length."""

    @property
    def marks(self) -> list[str]:
        """The names of the fields that tell of those that are cut."""
        return []

    @property
    def made(self) -> list[str]:
        """The names of all fields of a batch whose values have spans: those that are cut, and that tell of them."""
        return [*self.fields, *self.marks]

    @property
    def extents(self) -> tuple[int | None, ...]:
        """The shape of a row of such a field, as far as its values do not say it themselves."""
        return (None,)

    def variants(self, functions: list[Function]) -> list[dict[str, list[dict[str, Any]]]]:  # noqa: ARG002
        """Returns the transforms of each variant of batches as plain data, and adds the functions that they call."""
        return []

    def views(self) -> list[dict[str, Any]]:
        """Returns the fields that variants make of others, as plain data."""
        return []

    def groups(self, batch_size: int) -> int:
        """Returns how many groups of samples a batch has."""
        return batch_size

    def native(self, source: Any, batch_size: int) -> _native.Cut:  # noqa: ANN401 (a Source, or any dataset)
        """Returns the cut of a source as the core has it."""
        raise NotImplementedError("Cut: it is a Packing, a TokenBudget, Buckets or a MultiScale")
