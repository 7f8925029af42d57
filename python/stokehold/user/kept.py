"""The trainer's own random numbers, where samples are made in its process."""

from __future__ import annotations

import random
import sys
from typing import Any

import numpy as np

__all__ = ["Kept"]


class Kept:
    """The states of the generators that code draws from without naming one."""

    def keep(self) -> None:
        """Notes the states."""
        self._random = random.getstate()
        self._numpy = np.random.get_state()  # noqa: NPY002
        torch: Any = sys.modules.get("torch")
        self._torch = None if torch is None else torch.default_generator.get_state()

    def restore(self) -> None:
        """Puts the states back."""
        random.setstate(self._random)
        np.random.set_state(self._numpy)  # noqa: NPY002
        if self._torch is not None:
            sys.modules["torch"].default_generator.set_state(self._torch)
