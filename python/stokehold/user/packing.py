"""Code on its way to the coordinator: a pickle, and beside it the memory of what is large."""

from __future__ import annotations

import io
import os
import pickle
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Final

from stokehold.user.code import Code

__all__ = ["pack", "unpack"]

APART_BYTES: Final = 64 << 10
"""From so many bytes on, an array lies in shared memory and not in the pickle."""
DEPTH: Final = 20
"""How deep a value that cannot be pickled is looked for."""


def pack(code: Code) -> tuple[bytes, Sequence[memoryview]]:
    """Pickles code, with what the other side needs to find modules; and returns the buffers that lie apart.

    Raises:
        TypeError: A part of it cannot be pickled; the message has its path.
        ImportError: The package `cloudpickle` is missing.
    """
    views: list[memoryview] = []

    def apart(buffer: pickle.PickleBuffer) -> bool:
        try:
            view = buffer.raw()
        except BufferError:
            return True
        if view.nbytes < APART_BYTES:
            return True
        views.append(view)
        return False

    file = io.BytesIO()
    try:
        _pickler(file, apart).dump(code)
    except Exception as error:
        if isinstance(error, ImportError) and getattr(error, "name", None) == "cloudpickle":
            raise
        path, reason = _culprit(code.__dict__, error)
        raise TypeError(
            f"{path}: {reason}; what the workers get must be picklable, or made in them (lazily, or in worker_init)"
        ) from error
    surroundings = {
        "path": [os.fspath(Path(entry).absolute()) if isinstance(entry, str) else entry for entry in sys.path],
        "directory": _directory(),
        "arguments": sys.argv,
        "lengths": [view.nbytes for view in views],
    }
    return pickle.dumps(surroundings) + file.getvalue(), views


def _directory() -> str | None:
    try:
        return os.fspath(Path.cwd())
    except FileNotFoundError:
        return None


def unpack(stream: IO[bytes], buffers: memoryview) -> Code:
    """Returns code that was packed in another process, in the surroundings that it had there."""
    surroundings = pickle.load(stream)
    sys.path[:] = surroundings["path"]
    sys.argv[:] = surroundings["arguments"]
    if surroundings["directory"] is not None:
        os.chdir(surroundings["directory"])
    code: Code = pickle.load(stream, buffers=_cut(buffers, surroundings["lengths"]))
    return code


def _cut(memory: memoryview, lengths: Sequence[int]) -> Iterator[memoryview]:
    """Returns the buffers that lie in memory one after the other, each at a multiple of 64 bytes."""
    start = 0
    for length in lengths:
        yield memory[start : start + length]
        start += -(-length // 64) * 64


def _pickler(file: io.BytesIO, apart: Any) -> Any:
    import cloudpickle

    class Pickler(cloudpickle.Pickler):  # type: ignore[misc]
        """Also lays the memory of PyTorch's tensors apart, once for all tensors that share it."""

        def __init__(self) -> None:
            super().__init__(file, protocol=5, buffer_callback=apart)
            self.storages: dict[int, Any] = {}

        def reducer_override(self, value: Any) -> Any:
            torch = sys.modules.get("torch")
            if torch is not None and isinstance(value, torch.storage.TypedStorage):
                storage = value._untyped_storage  # noqa: SLF001 (`untyped()` warns)
                return _typed_storage, (self.storages.setdefault(storage.data_ptr(), storage), value.dtype)
            if torch is not None and isinstance(value, torch.UntypedStorage):
                if value.device.type != "cpu":
                    raise TypeError(f"a tensor on {value.device} cannot go to workers: use .cpu()")
                return _storage, (pickle.PickleBuffer(_bytes_of(torch, value)),)
            return super().reducer_override(value)

    return Pickler()


def _bytes_of(torch: Any, storage: Any) -> Any:
    return torch.empty(0, dtype=torch.uint8).set_(storage).numpy()


def _storage(buffer: Any) -> Any:
    import torch

    if len(buffer) == 0:
        return torch.UntypedStorage(0)
    if memoryview(buffer).readonly:
        buffer = bytearray(buffer)
    return torch.frombuffer(buffer, dtype=torch.uint8).untyped_storage()


def _typed_storage(storage: Any, dtype: Any) -> Any:
    import torch

    return torch.storage.TypedStorage(wrap_storage=storage, dtype=dtype, _internal=True)


def _culprit(parts: Mapping[str, Any], error: Exception) -> tuple[str, str]:
    """Returns the path of the innermost part that cannot be pickled, and why."""
    path, reason = "the loader's code", str(error)
    seen: set[int] = set()
    children: Iterable[tuple[str, Any]] = parts.items()
    for _ in range(DEPTH):
        for name, child in children:
            why = None if id(child) in seen else _why_not(child)
            if why is not None:
                seen.add(id(child))
                path, reason, children = name, why, list(_parts_of(name, child))
                break
        else:
            break
    return path, reason


def _why_not(value: object) -> str | None:
    try:
        _pickler(io.BytesIO(), lambda _: False).dump(value)
    except Exception as error:  # noqa: BLE001 (any object may raise anything)
        return str(error) or type(error).__name__
    return None


def _parts_of(path: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Yields what a value consists of, each with its path."""
    if isinstance(value, Mapping):
        yield from ((f"{path}[{key!r}]", part) for key, part in value.items())
    elif isinstance(value, list | tuple | set | frozenset):
        yield from ((f"{path}[{at}]", part) for at, part in enumerate(value))
    attributes = getattr(value, "__dict__", None)
    if isinstance(attributes, Mapping) and not isinstance(value, type):
        yield from ((f"{path}.{name}", part) for name, part in attributes.items())
    for name in ("__self__", "__func__", "func", "args", "keywords"):
        if hasattr(value, name) and callable(value):
            yield f"{path}.{name}", getattr(value, name)
    closure = getattr(value, "__closure__", None) or ()
    names = getattr(getattr(value, "__code__", None), "co_freevars", ())
    for name, cell in zip(names, closure, strict=False):
        try:
            yield f"{path}.{name}", cell.cell_contents
        except ValueError:  # Nothing is in it yet.
            continue
