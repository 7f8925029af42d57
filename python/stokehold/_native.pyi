"""The native half of stokehold. Use the names that `stokehold` gives; these are its parts."""

import os
from collections.abc import Callable, Sequence
from typing import Any, Literal, final

import numpy as np
import numpy.typing as npt
from typing_extensions import Buffer, CapsuleType

__all__ = [
    "Batch",
    "Cut",
    "DecodeError",
    "Field",
    "Loader",
    "Memory",
    "Order",
    "Payloads",
    "Pipeline",
    "Posture",
    "Randomness",
    "Slot",
    "Slots",
    "SlotsExhaustedError",
    "Source",
    "StdioTaken",
    "WorkerError",
    "__version__",
    "auto_workers",
    "check_batch_transform",
    "check_transform",
    "copy_row",
    "copy_rows",
    "decode_jpeg",
    "image_folder_samples",
    "init",
    "leave_pool",
    "nameless_file",
    "print_line",
    "probe_parquet",
    "report",
    "serve",
    "serve_code",
    "serve_worker",
    "stack_signal",
    "unpack_zstd",
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
def image_folder_samples(
    root: str | os.PathLike[str], cache: str | os.PathLike[str] | None
) -> tuple[list[str], list[int], list[str]]:
    """Returns the paths and the labels of the samples of an image folder, and the names of its classes.

    ``cache`` is the folder in which listings are kept.
    """

def probe_parquet(request: str) -> str:
    """Reads the footers of Parquet files, says in JSON what the source is, and raises as the loader would."""

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
class Source:
    """A source that is data: a description in JSON, and the shared memory that it lies in."""

    def __new__(cls, spec: str) -> Source:
        """Takes a source that lies in no memory. It is not opened yet."""
    @staticmethod
    def table(
        description: str, buffers: Sequence[npt.NDArray[Any]], shards: Sequence[tuple[str, int, int]] = ...
    ) -> Source:
        """Copies columns, described in JSON, out of buffers that are C-contiguous; parts of columns lie in shards.

        `shards` are paths, bytes and times of change in nanoseconds, as they were when the parts were found.
        """
    @staticmethod
    def web_dataset(
        description: str, cache: str | os.PathLike[str] | None, progress: Callable[[int, int], object]
    ) -> tuple[Source, int]:
        """Finds the samples of tar files, described in JSON, and returns them with the number of those left out.

        `cache` is the folder of indices; `progress` is called with how many of how many files are done.
        """
    @staticmethod
    def tf_record(
        description: str, cache: str | os.PathLike[str] | None, progress: Callable[[int, int], object]
    ) -> Source:
        """Finds the records of TFRecord files, described in JSON; `cache` and `progress` as for `web_dataset`."""
    def tokens(
        self, description: str, documents: tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint64]] | None = ...
    ) -> Source:
        """Makes samples of the windows of tokens that this table has in its only column, as JSON describes.

        `documents` are, of all shards one after another, the bytes at which documents start, and for each shard the
        bytes of these numbers up to its last one.
        """
    def select(self, of: int, indices: npt.NDArray[np.uint64]) -> Source:
        """Selects samples of this source, which has `of` of them, by their indices."""
    @staticmethod
    def concat(sources: Sequence[Source]) -> Source:
        """Puts sources one after the other."""
    def join(self, other: Source) -> Source:
        """Puts the fields of another source beside those of this one."""
    def values(self, name: str) -> tuple[bytes, list[int]]:
        """Returns what a field is of all samples: bytes, one after the other, and where each sample's end."""
    @property
    def fields(self) -> str:
        """The fields of the source in JSON, which does not open it."""
    @staticmethod
    def take_of(suffix: str) -> str:
        """Returns in JSON what is taken of members with this suffix where nothing else is said."""
    def describe(self) -> tuple[int, str, list[str]]:
        """Opens the source, and returns its number of samples, its fields in JSON and its classes."""
    def parts(self) -> tuple[str, list[bytes]]:
        """Returns the source in JSON, and a copy of each piece of memory that it lies in."""

@final
class Pipeline:
    """Samples of a source, with what transforms make of their fields."""

    def __new__(cls, description: str, memory: Sequence[npt.NDArray[np.uint8]], code: object) -> Pipeline:
        """Opens what a description says, in JSON; `code` has the functions that transforms call."""
    def __len__(self) -> int: ...
    def sample(self, index: int, epoch: int, seed: int | None = None) -> dict[str, Any]: ...

@final
class Order:
    """An order of the samples of an epoch, with its table where workers can see it."""

    @staticmethod
    def weighted(weights: npt.NDArray[np.float64], num_samples: int | None, replacement: bool) -> Order: ...
    @staticmethod
    def curriculum(
        difficulty: npt.NDArray[np.float64], by_root: bool, start: float, epochs: float, num_samples: int | None
    ) -> Order: ...
    @staticmethod
    def repeated(times: int, num_samples: int | None) -> Order: ...
    @staticmethod
    def explicit(indices: npt.NDArray[np.uint64]) -> Order: ...
    @staticmethod
    def listed(indices: int) -> Order: ...
    @staticmethod
    def mixture(
        stages: Sequence[tuple[int, Sequence[float]]], lengths: Sequence[int], num_samples: int | None
    ) -> Order: ...

@final
class Cut:
    """How samples become batches."""

    def __new__(cls, options: str, lengths: npt.NDArray[np.uint32]) -> Cut:
        """Takes what is asked for, in JSON, and the length of each sample."""
    @property
    def longest(self) -> int:
        """The length of the longest sample; 0 where no lengths decide."""
    @staticmethod
    def multi_scale(batch_sizes: Sequence[int], repeat: int) -> Cut:
        """Returns the cut into batches of several variants, of so many samples each, `repeat` in a row."""

@final
class Memory(Buffer):
    """Memory that several processes map, writable, for as long as this object or a view of it lives."""

    def __new__(cls, size: int) -> Memory: ...
    def discard(self, offset: int, size: int) -> bool:
        """Gives the pages of a part back to the system; they read as zeros from then on."""
    def exchange(self, offset: int, old: int, new: int) -> bool:
        """Puts `new` into a word if `old` is there; tells whether it was. Of several processes that try, one succeeds.

        The word has eight bytes, and begins at `offset`, a multiple of eight.

        Raises:
            ValueError: There is no such word.
        """
    @staticmethod
    def open(descriptor: int) -> Memory:
        """Maps the memory behind a descriptor, which is taken over."""
    def fileno(self) -> int:
        """Returns the descriptor, which stays this object's."""
    def __len__(self) -> int: ...

def nameless_file() -> int:
    """Returns the descriptor of an empty file that has no name and may grow. It is the caller's."""

@final
class Slots:
    """The slots of a trainer. Their size is learned from the batches, and memory that is not needed any more goes."""

    def __new__(cls) -> Slots: ...
    def take(self, worker: int) -> Slot | None:
        """Returns a slot for a batch of this worker; none as long as nobody knows how large batches are."""
    def take_free(self) -> list[Slot]:
        """Returns all slots that are free."""
    def learn(self, used: int) -> None:
        """Takes in how many bytes a batch took."""
    def clear(self) -> None:
        """Gives all memory back that no batch lies in."""
    def count(self) -> tuple[int, int]:
        """Returns how many slots there are, and how many of them are free."""
    @property
    def oldest(self) -> int:
        """The number of the oldest block that there is."""
    @property
    def bytes(self) -> int:
        """The bytes of all slots."""

@final
class Slot(Buffer):
    """A slot, and a view of its bytes. It is free again when this and all views are gone; unless a worker has it then.

    Such a slot is lost: the worker may write to it as long as it lives.
    """

    def lend(self) -> None:
        """A worker has it from now on."""
    def returned(self) -> None:
        """No worker has it any more: it has answered, or it has ended."""
    @property
    def block(self) -> int:
        """The number of its block."""
    @property
    def offset(self) -> int:
        """Where it begins in its block."""
    @property
    def memory(self) -> Memory:
        """The memory of its block."""
    def __len__(self) -> int: ...

@final
class Payloads:
    """One end of a conversation of messages, each with six numbers, bytes of any length, and memory."""

    def __new__(cls, descriptor: int) -> Payloads:
        """Takes a descriptor of a socket over."""
    def send(self, words: Sequence[int], payload: bytes, memory: Sequence[Memory]) -> bool:
        """Sends a message, or keeps it until there is room; returns whether all is sent."""
    def ask(
        self, slots: Slots, worker: int, known: set[int], number: int, epoch: int, payload: bytes
    ) -> tuple[bool, Slot | None]:
        """Sends a task with a slot for its batch, or without one where there is none to be had or to be sent.

        ``known`` are the numbers of the blocks that the worker has. Returns whether all is sent, and the slot, which
        the worker has from then on.
        """
    def flush(self) -> bool:
        """Sends what is kept, as far as there is room; returns whether all is sent."""
    def finish(self) -> None:
        """Waits until all is sent, or the other end is gone."""
    def receive(
        self, seconds: float | None
    ) -> tuple[list[int], bytes | memoryview, list[Memory], str | None] | Literal[False] | None:
        """Receives a message, for which it waits so many seconds: for ever without a number.

        Returns its numbers, its bytes, its memory, and why that did not come; ``False`` where there is none, and
        ``None`` at the other side's end.
        """
    def fileno(self) -> int:
        """Returns the descriptor, which stays this object's; -1 when it is closed."""
    def close(self) -> None:
        """Ends the conversation."""

@final
class Posture:
    """Makes this process a worker: it ends when its parent does, at once and whatever it is doing.

    It also goes first where memory runs out, and takes nobody's processor when it wakes.
    """

    def __new__(cls, parent: int, by_main: bool) -> Posture:
        """`parent` is the process that has started this one, `by_main` whether its first thread did."""

@final
class Randomness:
    """The generators that code of users draws from without naming one: those of `random`, NumPy and PyTorch."""

    def __new__(cls) -> Randomness: ...
    def begin_sample(self, seed: int, epoch: int, index: int) -> None:
        """Seeds them for a sample of a dataset; each number has 64 bits. It is what the pool's workers do."""
    def keep(self) -> None:
        """Keeps their states."""
    def restore(self) -> None:
        """Puts the states back that were kept."""

def unpack_zstd(source: str | os.PathLike[str], to: str | os.PathLike[str], size: int) -> None:
    """Unpacks a file of Zstandard frames to a new file of `size` bytes, which is whole or not there.

    Raises:
        ValueError: The frames are broken, or come to another size.
        OSError: A file cannot be read or written.
    """

def copy_row(array: object, out: npt.NDArray[Any], row: int) -> bool:
    """Copies an array, and no instance of a subclass, to a row of `out`, and tells whether it could.

    Raises:
        ValueError: `out` is not C-contiguous and writable.
    """

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
    @property
    def repeats(self) -> list[int]:
        """The rows that even out the ranks, or have the sample of another row in place of a bad one."""
    def field(self, position: int) -> Field: ...
    def row(self, position: int, row: int) -> Field: ...
    def shapes(self, position: int) -> list[list[int]]: ...
    def is_ragged(self, position: int) -> bool: ...
    @property
    def spans(self) -> list[tuple[int, int, int]] | None:
        """Where the rows lie among the values of the fields that are cut; None where there is no cut.

        Of each: its first value, how many it has, and its number in its row.
        """
    @property
    def values(self) -> int:
        """How many values, padding included, a field that is cut has; 0 where there is no cut."""
    @property
    def variant(self) -> int | None:
        """Which variant the batch has; None where there are none."""

@final
class Loader:
    def __new__(
        cls,
        description: str,
        source: Source | None,
        code: tuple[Any, tuple[bytes, Sequence[memoryview]] | None] | None,
        coordinator: tuple[str, Sequence[str], str],
        report: Callable[[str], None],
        plan: tuple[Order | None, Cut | None],
    ) -> Loader:
        """Starts what a description says, in JSON, over a source, unless that is the dataset of `code`.

        `report` is called with each line that coordinator and workers report, while the loader is looked after.
        Of `plan`, the order is that of samples, where that is none of those that the description names; the cut says
        how they become batches, where their lengths decide that.
        """
    @property
    def fields(self) -> list[tuple[str, str, list[int | None], int | None]]: ...
    @property
    def samples(self) -> int: ...
    def counts_of(self, epoch: int) -> tuple[int, int]:
        """Returns the number of samples that the source had in an epoch, and how many that gives, over all ranks."""
    @property
    def grown(self) -> list[tuple[int, int]]:
        """How many samples the source had up to which epoch, where that were fewer."""
    def set_grown(self, grown: Sequence[tuple[int, int]]) -> None:
        """Takes what another loader over the same source has of that."""
    @property
    def repeats(self) -> bool:
        """Whether the order may give a sample more than once in an epoch."""
    @property
    def classes(self) -> list[str]: ...
    def batches_of(self, epoch: int) -> int:
        """Returns the number of batches of an epoch; 0 where its indices were to be given and are not."""
    @property
    def shares(self) -> tuple[int, int, int, int] | None:
        """Of all ranks in a whole epoch: rows that come again, samples left out, the fewest and the most batches."""
    def audit(self, epoch: int) -> tuple[list[tuple[int, int, int, int]], int, int, list[str]] | None:
        """Returns what each rank gets of an epoch (batches, rows, padding, digest), samples left out, and faults."""
    @property
    def epoch(self) -> int: ...
    @property
    def remaining(self) -> int:
        """How many batches are still to come of the current epoch, or of the next one if none is going on."""
    def remaining_of(self, iteration: int) -> int: ...
    def give(self, epoch: int, indices: npt.NDArray[np.uint64]) -> None:
        """Takes the indices of an epoch, of an order that has others in each."""
    def go_to(self, epoch: int, position: int, earlier: str | None = None) -> None:
        """Makes the next iteration begin at a position of an epoch, which was read with `earlier` cuts before."""
    def earlier(self, epoch: int) -> str:
        """Returns the cuts that an epoch was read with before a state of it was loaded."""
    @property
    def upcoming(self) -> int:
        """The epoch that the next iteration begins with."""
    def begin(self) -> int: ...
    def next(self, iteration: int) -> Batch | None: ...
    def next_with_drawn(self, iteration: int) -> tuple[Batch | None, str]:
        """Returns the next batch, and as JSON what is drawn for it meanwhile in this thread.

        Of each transform: its field, its name and its parameters.
        """
    def set_epoch(self, epoch: int) -> None: ...
    def state(self) -> str: ...
    def load_state(self, state: str, grown: bool) -> None:
        """Loads a state from JSON; `grown` where the source may have more samples than it had."""
    def stats(self) -> dict[str, Any]: ...
    def close(self) -> None: ...
