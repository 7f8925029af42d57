"""What the fields of a dataset are, learned from samples."""

from __future__ import annotations

import dataclasses
import pickle
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from stokehold.user.code import Code
from stokehold.user.streams import first_samples

__all__ = ["TRIED", "Leaf", "array", "image_file", "learn", "pickled", "tried"]

TRIED: Final = 4
"""How many samples are looked at: the first, the last, and some in between."""
ATTEMPTS: Final = 16
"""How many samples are tried for that at most, where some cannot be read."""
ROOM: Final = 1.5
"""How many times as much room as the longest sample needs there is at first."""
FEWEST: Final = 16
"""The positions along varying axes that there is room for at least."""
SHORTEST: Final = 64
"""The bytes of a text, of bytes or of an object that there is room for at least."""

NUMBERS: Final = {bool: ("bool", "bool"), int: ("int", "int64"), float: ("float", "float64")}
"""How Python's own numbers are read, and what they become: as PyTorch's ``default_collate`` has it."""
NETPBM: Final = {"L": b"P5", "RGB": b"P6"}
DTYPES: Final = {
    *("bool", "uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64"),
    *("float16", "bfloat16", "float32", "float64"),
}


class Leaf(NamedTuple):
    """What is found at one spot of a sample: how it is read, and what its values are."""

    path: tuple[Any, ...]
    name: str
    how: str
    dtype: str = ""
    shape: tuple[int, ...] = ()


def tried(samples: int) -> Iterator[int]:
    """Yields the indices of the samples to look at, the ones that stand for all first."""
    picked = [0, samples - 1, samples // 2, samples // 3]
    picked += [int(samples * ((at * 0.6180339887) % 1)) for at in range(1, ATTEMPTS)]
    yield from dict.fromkeys(index for index in picked if 0 <= index < samples)


def learn(code: Code) -> dict[str, Any]:
    """Returns what the fields of a dataset are: their kinds, and where in a sample each is found.

    Raises:
        Exception: That of the first sample, if none can be read.
        TypeError: Samples differ in what they consist of.
        ValueError: There are no samples, or those that were tried differ in what cannot be one field; or the dataset is
            iterated, and does not ask which worker it is in.
    """
    if code.turns is not None:
        begun = time.perf_counter()
        samples = list(enumerate(first_samples(code, TRIED, ATTEMPTS)))
        if not samples:
            raise ValueError("Loader: source: the dataset has no samples: the first worker's iteration ended at once")
        facts = {"turns": code.turns._asdict(), "seconds": (time.perf_counter() - begun) / len(samples)}
        return facts | {"samples": None} | _facts(code, samples)
    if len(code) < 1:
        raise ValueError("Loader: source: the dataset has no samples")
    return {"turns": None, "samples": len(code)} | _facts(code, _some(code))


def _some(code: Code) -> list[tuple[int, Any]]:
    """Returns some samples of a dataset with items, and their indices.

    Raises:
        Exception: That of the first one, if none can be made.
    """
    found: list[tuple[int, Any]] = []
    first: Exception | None = None
    for attempt, index in enumerate(tried(len(code))):
        if len(found) == TRIED or attempt == ATTEMPTS:
            break
        try:
            found.append((index, code.sample(index)))
        except Exception as error:  # noqa: BLE001 (a bad sample is dealt with where it is met)
            first = first or error
    if not found:
        raise first or ValueError("no sample could be tried")
    return found


def _facts(code: Code, samples: Sequence[tuple[int, Any]]) -> dict[str, Any]:
    """Returns what these samples say."""
    found: list[tuple[int, list[Leaf]]] = []
    containers: list[dict[str, Any]] = []
    for index, value in samples:
        containers = []
        found.append((index, list(_leaves(value, (), "", containers, code.fields))))
    columns = _columns(found)
    described = [
        _field([leaf for _, leaf in column], [index for index, _ in column], code.varying) for column in columns
    ]
    return {
        "fields": [field for field, _ in described],
        "leaves": [leaf for _, leaf in described],
        "containers": containers,
    }


def _columns(found: Sequence[tuple[int, list[Leaf]]]) -> list[list[tuple[int, Leaf]]]:
    index, leaves = found[0]
    names = [leaf.name for leaf in leaves]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"two items of sample {index} are both named `{twice}`")
    if not names:
        raise TypeError(f"sample {index} is empty: it has no field")
    for other, others in found[1:]:
        if [leaf.path for leaf in others] != [leaf.path for leaf in leaves]:
            theirs = ", ".join(f"`{leaf.name}`" for leaf in others)
            ours = ", ".join(f"`{name}`" for name in names)
            raise TypeError(
                f"sample {index} has {ours}, and sample {other} has {theirs}: all samples have the same items"
            )
    return [[(index, leaves[at]) for index, leaves in found] for at in range(len(names))]


def _leaves(
    value: Any, path: tuple[Any, ...], name: str, containers: list[dict[str, Any]], names: tuple[str, ...] | None
) -> Iterator[Leaf]:
    """Yields what a sample consists of, and notes each of its containers."""
    items: list[tuple[Any, str, Any]]
    if isinstance(value, Mapping):
        items = [({"key": key}, str(key), value[key]) for key in value]
        if not all(isinstance(key, str | int) for key in value):
            items = []
    elif isinstance(value, tuple) and hasattr(value, "_fields"):
        items = [({"at": at}, key, value[at]) for at, key in enumerate(value._fields)]
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        items = [({"attribute": each.name}, each.name, getattr(value, each.name)) for each in dataclasses.fields(value)]
    elif isinstance(value, tuple) or (isinstance(value, list) and (not path or not _is_numbers(value))):
        items = [({"at": at}, str(at), each) for at, each in enumerate(value)]
    else:
        items = []
    if not path and names is not None:
        items = _named(items, names)
        if not items:
            name = names[0]
    if not items:
        yield _leaf(value, path, name or "0")
        return
    kind = "attributes" if "attribute" in items[0][0] else "items"
    containers.append({"path": [dict([step]) for step in path], "length": len(items) if kind == "items" else None})
    for step, key, each in items:
        yield from _leaves(each, (*path, next(iter(step.items()))), f"{name}.{key}" if name else key, containers, None)


def _named(items: list[tuple[Any, str, Any]], names: tuple[str, ...]) -> list[tuple[Any, str, Any]]:
    if len(items) != len(names) and not (len(names) == 1 and not items):
        what = f"a sample has {len(items)} items" if items else "a sample is one value"
        raise ValueError(f"fields names {len(names)} items ({', '.join(names)}), and {what}")
    return [(step, name, value) for (step, _, value), name in zip(items, names, strict=False)]


def _is_numbers(value: list[Any]) -> bool:
    return all(type(each) in NUMBERS for each in value)


def _leaf(value: Any, path: tuple[Any, ...], name: str) -> Leaf:
    if type(value) in NUMBERS:
        return Leaf(path, name, *NUMBERS[type(value)])
    if isinstance(value, str):
        return Leaf(path, name, "text", "uint8", (len(value.encode()),))
    if isinstance(value, bytes | bytearray):
        return Leaf(path, name, "bytes", "uint8", (len(value),))
    found = array(value)
    if found is None:
        return Leaf(path, name, "object", "uint8", (len(pickled(value)),))
    dtype, pixels = found
    how = "image" if _is_image(value) else "array"
    return Leaf(path, name, how, dtype, pixels.shape)


def _is_image(value: Any) -> bool:
    pillow = sys.modules.get("PIL.Image")
    return pillow is not None and isinstance(value, pillow.Image)


def array(value: Any) -> tuple[str, npt.NDArray[Any]] | None:
    """Returns the name of a value's dtype, and the value as an array in C order; none if it is none that a batch holds.

    An array of ``bfloat16`` comes as one of ``int16``.
    """
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(value, torch.Tensor):
        if value.layout is not torch.strided or value.is_quantized:
            return None
        dense = value.detach().cpu().resolve_conj().resolve_neg()
        if dense.dtype == torch.bfloat16:
            return "bfloat16", np.ascontiguousarray(dense.view(torch.int16).numpy()).reshape(dense.shape)
        if str(dense.dtype).removeprefix("torch.") not in DTYPES:
            return None
        found = dense.numpy()
    elif (
        isinstance(value, np.ndarray | np.generic)
        or _is_image(value)
        or hasattr(value, "__array__")
        or (isinstance(value, list) and value and _is_numbers(value))
    ):
        found = np.asarray(value)
    else:
        return None
    name = found.dtype.name
    if name not in DTYPES:
        return None
    if not found.dtype.isnative:
        found = found.astype(found.dtype.newbyteorder("="))
    shape = found.shape
    found = np.ascontiguousarray(found).reshape(shape)
    return name, found.view(np.int16) if name == "bfloat16" else found


def image_file(value: Any) -> bytes:
    """Returns a picture of Pillow as the bytes of an image file with these pixels."""
    mode = value.mode
    if mode not in NETPBM:
        # What Pillow makes of it, as for a file.
        value = value.convert("RGB" if mode in {"P", "CMYK", "YCbCr", "LAB", "HSV", "RGBX"} else _wider(mode))
    pixels = np.asarray(value)
    if value.mode in NETPBM:
        header = b"%s %d %d 255\n" % (NETPBM[value.mode], value.width, value.height)
    else:
        channels = pixels.shape[2]
        kind = {2: b"GRAYSCALE_ALPHA", 4: b"RGB_ALPHA"}[channels]
        header = b"P7\nWIDTH %d\nHEIGHT %d\nDEPTH %d\nMAXVAL 255\nTUPLTYPE %s\nENDHDR\n" % (
            value.width,
            value.height,
            channels,
            kind,
        )
    return header + pixels.tobytes()


def _wider(mode: str) -> str:
    return {"LA": "LA", "RGBA": "RGBA", "PA": "RGBA", "La": "LA", "RGBa": "RGBA", "1": "L"}.get(mode, "RGB")


def pickled(value: Any) -> bytes:
    """Returns any object as bytes."""
    return pickle.dumps(value, pickle.HIGHEST_PROTOCOL)


def _room(places: int, least: int = FEWEST) -> int:
    return max(least, int(places * ROOM))


def _field(
    leaves: Sequence[Leaf], indices: Sequence[int], stated: frozenset[str]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Returns a field and how it is read, from what some samples have for it."""
    path, name = leaves[0].path, leaves[0].name
    hows = {leaf.how for leaf in leaves}
    if hows <= {"int", "float"} and len(hows) > 1:
        leaves, hows = [Leaf(path, name, "float", "float64")] * len(leaves), {"float"}
    if len(hows) > 1:
        if "object" not in hows and hows != {"text", "bytes"}:
            kinds = [f"{leaf.how} in sample {index}" for index, leaf in zip(indices, leaves, strict=True)]
            raise TypeError(f"field `{name}` is {', '.join(kinds)}: a field is of one kind")
        hows = {"object"}
    (how,) = hows
    shapes = [leaf.shape for leaf in leaves]
    read: dict[str, Any] = {"path": [dict([step]) for step in path], "name": name}
    if how in {"text", "bytes", "object"}:
        longest = max(shape[0] if len(shape) == 1 else 0 for shape in shapes)
        return {"name": name, "kind": how, "capacity": _room(longest, SHORTEST)}, read | {"how": how}
    if how == "image" and (len(set(shapes)) > 1 or len({leaf.dtype for leaf in leaves}) > 1):
        pixels = max(shape[0] * shape[1] for shape in shapes)
        return {"name": name, "kind": "image", "capacity": _room(pixels)}, read | {"how": "image"}
    return _array_field(leaves, indices, stated, read | {"how": "array" if how == "image" else how})


def _array_field(
    leaves: Sequence[Leaf], indices: Sequence[int], stated: frozenset[str], read: dict[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    name, dtype, shape = leaves[0].name, leaves[0].dtype, leaves[0].shape
    dtypes = {leaf.dtype: index for index, leaf in zip(indices, leaves, strict=True)}
    if len(dtypes) > 1:
        listed = ", ".join(f"{each} in sample {index}" for each, index in dtypes.items())
        raise TypeError(f"field `{name}` is {listed}: give all samples the same dtype")
    ranks = {len(leaf.shape): index for index, leaf in zip(indices, leaves, strict=True)}
    if len(ranks) > 1:
        listed = ", ".join(f"{rank} axes in sample {index}" for rank, index in ranks.items())
        raise TypeError(f"field `{name}` has {listed}: give all samples as many")
    shapes = [leaf.shape for leaf in leaves]
    varying = [axis for axis in range(len(shape)) if len({each[axis] for each in shapes}) > 1]
    if not varying and shape and name in stated:
        varying = [0]
    read |= {"dtype": dtype}
    if not varying:
        return {"name": name, "kind": "tensor", "dtype": dtype, "shape": shape}, read | {"shape": shape, "varying": 0}
    axes = varying[-1] + 1
    places = max(int(np.prod(each[:axes])) for each in shapes)
    rest = shape[axes:]
    field = {"name": name, "dtype": dtype, "shape": rest, "capacity": _room(places)}
    kind = {"kind": "list"} if axes == 1 else {"kind": "varying", "axes": axes}
    return field | kind, read | {"shape": rest, "varying": axes}
