"""The native half of stokehold. Use the names that `stokehold` gives; these are its parts."""

import os
from collections.abc import Callable, Sequence
from typing import Any, final

import numpy as np
import numpy.typing as npt
from typing_extensions import Buffer, CapsuleType

__all__ = [
    "Batch",
    "DecodeError",
    "Field",
    "Loader",
    "Memory",
    "Pipeline",
    "SlotsExhaustedError",
    "StdioTaken",
    "Table",
    "WorkerError",
    "__version__",
    "auto_workers",
    "check_batch_transform",
    "check_transform",
    "copy_rows",
    "decode_jpeg",
    "image_folder_classes",
    "init",
    "leave_pool",
    "print_line",
    "report",
    "serve",
    "serve_code",
    "serve_worker",
    "stack_signal",
]

__version__: str

class DecodeError(Exception):
    """A sample's bytes are not what they should be, or a transform cannot take it."""

    index: int | None
    key: str
    stage: str
    worker: int | None
    offset: int | None
    reason: str

class WorkerError(RuntimeError):
    """The pool is over or could not start, or a sample ended every worker that touched it."""

class SlotsExhaustedError(RuntimeError):
    """The trainer holds so many batches that none can be filled, and the arena may not grow."""

def decode_jpeg(
    data: bytes,
    region: tuple[int, int, int, int] | None,
    scale: int,
    out: npt.NDArray[np.uint8] | None = None,
) -> tuple[int, int, bytearray | npt.NDArray[np.uint8]]:
    """Returns height, width and the pixels; these are `out` where it is given."""

def check_batch_transform(description: str) -> None: ...
def check_transform(description: str) -> None: ...
def auto_workers(ranks: int) -> int: ...
def image_folder_classes(root: str | os.PathLike[str]) -> list[str]: ...
def init() -> None: ...
def print_line(descriptor: int, line: str) -> None: ...
def serve() -> None: ...
def serve_code(open_code: Callable[[Sequence[int]], Any]) -> None: ...
def serve_worker(open_code: Callable[[Sequence[int]], Any]) -> None: ...
def report(line: str) -> None: ...
def leave_pool() -> None: ...
def stack_signal() -> tuple[int, int | None]: ...

@final
class StdioTaken:
    """As long as it lives, what is opened gets none of the numbers 0 to 2, and programs that are started have them."""

    def __new__(cls) -> StdioTaken: ...

@final
class Table:
    """Columns in shared memory, copied once."""

    def __new__(cls, rows: int, columns: str, buffers: Sequence[npt.NDArray[np.uint8]]) -> Table:
        """Copies columns of so many rows, described in JSON, out of buffers that are C-contiguous."""
    def parts(self) -> tuple[str, bytes]: ...
    @property
    def rows(self) -> int: ...

@final
class Pipeline:
    """Samples of a source, with what transforms make of their fields."""

    def __new__(cls, description: str, table: npt.NDArray[np.uint8] | None, code: object) -> Pipeline:
        """Opens what a description says, in JSON; `code` has the functions that transforms call."""
    def __len__(self) -> int: ...
    def sample(self, index: int, epoch: int) -> dict[str, Any]: ...

@final
class Memory(Buffer):
    """Memory that several processes map, writable, for as long as this object or a view of it lives."""

    def __new__(cls, size: int) -> Memory: ...
    @staticmethod
    def open(descriptor: int) -> Memory:
        """Maps the memory behind a descriptor, which is taken over."""
    def fileno(self) -> int:
        """Returns the descriptor, which stays this object's."""
    def __len__(self) -> int: ...

def copy_rows(arrays: Sequence[Any], out: npt.NDArray[Any]) -> bool:
    """Copies arrays to the rows of `out`, and tells whether it could: all are C-contiguous, of a row's shape and dtype.

    Where it could not, some rows may be written. Raises `ValueError` where `out` has not as many rows, or is not
    C-contiguous and writable.
    """

@final
class Field(Buffer):
    """One field of a batch: a view of its slot, which it keeps.

    Any library that takes DLPack, NumPy's array interface or the buffer protocol takes it without a copy.
    """

    @property
    def shape(self) -> list[int]:
        """The array's shape: rows, then the shape of one row; or that of one row of a ragged field."""
    @property
    def dtype(self) -> str:
        """The dtype's name, as NumPy has it."""
    @property
    def __array_interface__(self) -> dict[str, Any]: ...
    def __dlpack_device__(self) -> tuple[int, int]: ...
    def __dlpack__(
        self,
        *,
        stream: object = None,
        max_version: tuple[int, int] | None = None,
        dl_device: tuple[int, int] | None = None,
        copy: bool | None = None,
    ) -> CapsuleType: ...
    def __buffer__(self, flags: int, /) -> memoryview: ...

@final
class Batch:
    @property
    def rows(self) -> int: ...
    @property
    def epoch(self) -> int: ...
    @property
    def indices(self) -> list[int]: ...
    def field(self, position: int) -> Field: ...
    def row(self, position: int, row: int) -> Field: ...
    def shapes(self, position: int) -> list[list[int]]: ...

@final
class Loader:
    def __new__(
        cls,
        description: str,
        table: Table | None,
        code: tuple[Any, tuple[bytes, Sequence[memoryview]] | None] | None,
        coordinator: tuple[str, Sequence[str], str],
        report: Callable[[str], None],
    ) -> Loader:
        """Starts what a description says, in JSON. `table` holds the samples where it names no source.

        `report` is called with each line that coordinator and workers report, while the loader is looked after.
        """
    @property
    def fields(self) -> list[tuple[str, str, list[int | None], int | None]]: ...
    @property
    def samples(self) -> int: ...
    @property
    def classes(self) -> list[str]: ...
    @property
    def batches(self) -> int: ...
    @property
    def epoch(self) -> int: ...
    def begin(self) -> int: ...
    def next(self, iteration: int) -> Batch | None: ...
    def set_epoch(self, epoch: int) -> None: ...
    def state(self) -> str: ...
    def load_state(self, state: str) -> None: ...
    def stats(self) -> dict[str, Any]: ...
    def close(self) -> None: ...
