"""PyTorch's mark of each batch in a profile, made only while there is a profile."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any, Final

import torch

from stokehold.torch.internals import profiler_enabled

__all__ = ["TORCH"]

NO_MARK: Final = nullcontext()


class _Profiler:
    """The module ``torch.autograd.profiler``, whose `record_function` does nothing where nobody profiles.

    Making a mark takes some 13 us, which is a fifth of what the trainer does for a batch. An
    ``ExecutionTraceObserver`` beside which no profiler runs sees no marks.
    """

    def __getattr__(self, name: str) -> Any:
        return getattr(torch.autograd.profiler, name)

    @staticmethod
    def record_function(*arguments: Any) -> AbstractContextManager[Any]:
        """Returns what marks a part of the program while it is entered."""
        return torch.autograd.profiler.record_function(*arguments) if profiler_enabled() else NO_MARK


class _Autograd:
    """The module ``torch.autograd`` with that one."""

    profiler = _Profiler()

    def __getattr__(self, name: str) -> Any:
        return getattr(torch.autograd, name)


class _Torch:
    """The module ``torch`` with that one."""

    autograd = _Autograd()

    def __getattr__(self, name: str) -> Any:
        return getattr(torch, name)


TORCH: Final = _Torch()
"""What a function of PyTorch's takes for ``torch`` that marks batches."""
