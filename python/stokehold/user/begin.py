"""How a process begins that runs the code of users: the coordinator, and each worker after its fork."""

from __future__ import annotations

import faulthandler
import gc
import importlib
import io
import mmap
import os
import random
import sys
from collections.abc import Sequence
from typing import Any, Final

from stokehold import _native
from stokehold.user.code import Code
from stokehold.user.mapped import Mapped, NativeSamples
from stokehold.user.packing import unpack
from stokehold.user.streams import tell

__all__ = ["enter", "forked", "open_code", "serve"]

NO_RESERVE: Final = 0x4000
"""``MAP_NORESERVE``: what is never written to takes no memory of its own."""


def serve() -> None:
    """Serves the other end of standard input, as a coordinator or as a worker that was not forked; then ends."""
    sys.stdout, sys.stderr = _Reports(), _Reports()
    if os.environ.pop("STOKEHOLD_WORKER", None) is None:
        _native.serve_code(open_code)
    else:
        _native.serve_worker(open_code)


class _Reports(io.TextIOBase):
    """What code of users prints: lines that go to the trainer's log, and never make anybody wait."""

    def __init__(self) -> None:
        self._begun = ""

    def write(self, text: str, /) -> int:
        *lines, self._begun = (self._begun + text).split("\n")
        for line in lines:
            if line:
                _native.report(line)
        return len(text)

    def flush(self) -> None:
        """Tells what has no end yet."""
        if self._begun:
            _native.report(self._begun)
            self._begun = ""

    def writable(self) -> bool:
        return True


def open_code(descriptors: Sequence[int]) -> Code:
    """Returns the code that lies behind these descriptors: the pickle, and buffers, if there are any."""
    buffers = memoryview(_mapped(descriptors[1])) if len(descriptors) > 1 else memoryview(b"")
    with _mapped(descriptors[0]) as stream:
        code = unpack(stream, buffers)  # type: ignore[arg-type]
    if isinstance(code.dataset, Mapped) and isinstance(code.dataset.samples, NativeSamples):
        code.dataset.samples.open()
    if code.freeze:
        # A collection would write to every object, and so copy all memory that workers share.
        gc.collect()
        gc.freeze()
    return code


def forked(code: Code) -> Code:
    """Begins a coordinator that is a fork of the trainer, and returns its code."""
    sys.stdout, sys.stderr = _Reports(), _Reports()
    if isinstance(code.dataset, Mapped) and isinstance(code.dataset.samples, NativeSamples):
        code.dataset.samples.open()
    if code.freeze:
        gc.freeze()
    return code


def _mapped(descriptor: int) -> mmap.mmap:
    """Maps memory so that what a worker writes there is its own."""
    flags = mmap.MAP_PRIVATE | NO_RESERVE
    return mmap.mmap(descriptor, 0, flags, mmap.PROT_READ | mmap.PROT_WRITE)


def enter(code: Code, worker: int) -> None:
    """Begins a worker: its random numbers, what PyTorch says of it, and what the user wants to be done in it."""
    os.register_at_fork(after_in_child=_native.leave_pool)
    signal, descriptor = _native.stack_signal()
    if descriptor is not None:
        # What a worker that makes no progress is doing is told with that.
        faulthandler.register(signal, file=descriptor, all_threads=True)
    seed = (code.seed + worker) % 2**64
    random.seed(seed)
    if "numpy" in sys.modules:
        import numpy as np

        np.random.seed(np.random.SeedSequence((seed, worker)).generate_state(4))  # noqa: NPY002
    torch: Any = sys.modules.get("torch")
    if torch is not None:
        torch.manual_seed(seed)
        torch.set_num_threads(1)
        importlib.import_module("torch.utils.data")  # What is told of the worker lies there.
    tell(code, worker, seed)
    if code.worker_init is not None:
        code.worker_init(worker)
