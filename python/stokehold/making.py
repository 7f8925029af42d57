"""What a loader is made of."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np

from stokehold import _native
from stokehold.coordinator import program
from stokehold.ranks import Ranks
from stokehold.reports import tell
from stokehold.user.code import Code
from stokehold.user.packing import pack
from stokehold.user.streams import Turns

__all__ = ["Making"]


class Making:
    """What a loader is made of, for whichever of several trainers this is."""

    def __init__(
        self,
        description: dict[str, Any],
        source: _native.Source | None,
        code: Code | None,
        order: _native.Order | None,
        cut: tuple[_native.Cut, dict[str, int]] | None,
        *,
        is_stream: bool,
        forks: bool,
    ) -> None:
        self._description = description
        self._source = source
        self._code = code
        self._order = order
        self._cut = cut
        self._is_stream = is_stream
        self._forks = forks

    @property
    def groups(self) -> int:
        """How many samples a batch has; with a cut, groups of them."""
        groups: int = self._description["options"]["batch_size"]
        return groups

    @property
    def variants(self) -> int:
        """How many variants batches have; 0 where they have none."""
        return len(self._description["recipe"]["variants"])

    def of_one(self, index: int | None, variant: int | None) -> Making:
        """Returns what makes single samples, before transforms of whole batches: in the same order, or one alone."""
        # What is drawn is told by the thread that draws.
        changed = {"batch_size": 1, "drop_last": False, "on_error": "raise", "threads_per_worker": 1}
        options = self._description["options"] | changed
        order = self._order
        if index is not None:
            options["shuffle"] = False
            order = _native.Order.explicit(np.array([index], np.uint64))
        recipe = self._description["recipe"] | {"batch_transforms": [], "variants": []}
        if variant is not None:
            recipe["transforms"] = recipe["transforms"] | self._description["recipe"]["variants"][variant]
        if self._cut is not None:
            # A sample that is in no batch has a row of its own.
            recipe["capacity"] = self._cut[1] | recipe["capacity"]
        description = self._description | {"options": options, "recipe": recipe, "prefetch": 1}
        forks, is_stream = self._forks, self._is_stream
        return Making(description, self._source, self._code, order, None, is_stream=is_stream, forks=forks)

    def check_grown(self) -> None:
        """Raises `ValueError` where what becomes of samples depends on those that may have come behind them.

        Where no `Map` gets samples, the core knows.
        """
        if self._code is not None and getattr(self._code.dataset, "draws_others", False):
            raise ValueError(
                "Loader.load_state_dict: grown must be False where a Mosaic before a Map draws from all samples"
            )

    def loader(self, ranks: Ranks, *, alone: bool = False) -> _native.Loader:
        """Starts the loader of a trainer; `alone`, it has no workers."""
        options = self._description["options"] | {"rank": ranks.rank, "world_size": ranks.world_size}
        if alone:
            options["num_workers"] = 0
        code = self._code
        if code is not None and self._is_stream:
            turns = Turns(options["batch_size"], max(options["num_workers"], 1), ranks.rank, ranks.world_size)
            code = replace(code, turns=turns)
        packed = pack(code) if code is not None and options["num_workers"] and not self._forks else None
        return _native.Loader(
            json.dumps(self._description | {"options": options}, allow_nan=False),
            self._source,
            None if code is None else (code, packed),
            program(with_code=code is not None),
            tell,
            (self._order, None if self._cut is None else self._cut[0]),
        )
