"""Functions of your own among transforms."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from stokehold.checks import dtype_name, extents, one_of, shown, truth
from stokehold.transforms.arguments import DTYPES, DTypeLike
from stokehold.transforms.base import Transform
from stokehold.user.functions import TAKES, Function, Takes, called

__all__ = ["Call", "Map"]


class Call(Transform):
    """Calls a function of yours with what the transforms before it made, and goes on with what it gives.

    It stands anywhere in a list of transforms; a function that stands there by itself is a `Call` with the defaults.
    The function runs in the workers, and gets a NumPy array: (H, W, C) or (H, W) for an image, laid out as the
    transforms before it say; (n, ...) for a list. The array is its own: it may be changed in place and given back, and
    one that is kept keeps its memory. It gives an array, a tensor of PyTorch, a picture of Pillow or a number.

    What it draws from `random`, NumPy's global generator and PyTorch's is a function of seed, epoch and index, as long
    as ``rng`` is ``"sample"``; generators that the function has of its own (attributes, closures, parts of a
    composition) are seeded before each call.

    Args:
        function: What is called with one argument. It goes to the workers as cloudpickle has it, once.
        dtype: The dtype that it gives, NumPy's name or the dtype itself. By default it is learned, with the shape, from
            the first, the last and a middle sample, in a process that then ends.
        shape: The shape that it gives, with None for axes that vary. What is learned varies where those samples
            differ, and where it has the length of an axis that does. A sample for which the function gives something
            else is a bad one, and goes by ``on_error``.
        takes: What the function gets: ``"array"``; ``"tensor"`` of PyTorch, with the channels of an image first;
            ``"tv_image"``, the same as torchvision's ``tv_tensors.Image``; ``"pil"``, a picture of Pillow;
            ``"keywords"``, a call ``function(image=array)["image"]``, as Albumentations has it. Tensors that it gives
            have their channels first too, but for ``"array"``; they are put back where they were. By default it is
            ``"tv_image"`` for torchvision's v2 transforms, ``"pil"`` for its older ``Compose``, ``"tensor"`` for all
            other modules of PyTorch (kornia's want ``float32``: put ``ToDtype`` before), ``"keywords"`` for
            Albumentations, ``"array"`` for anything else.
        moves_pixels: Whether it may move the pixels of an image, or change its size. If not, masks, boxes and
            keypoints follow the image through it; else they cannot, and the whole sample goes to a `Map`.

    Raises:
        TypeError: `function` cannot be called, or an argument is of another type.
        ValueError: An unknown dtype, a negative extent, or an unknown `takes`.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        *,
        dtype: DTypeLike | None = None,
        shape: Sequence[int | None] | None = None,
        takes: Takes | None = None,
        moves_pixels: bool = True,
    ) -> None:
        if not callable(function) or isinstance(function, type):
            raise TypeError(f"Call: function must be something to call, not {shown(function)}")
        self.function = function
        self.dtype = None if dtype is None else dtype_name("Call: dtype", dtype, DTYPES)
        self.shape = None if shape is None else tuple(extents("Call: shape", shape, varies=True))
        self.takes: Takes | None = None if takes is None else one_of("Call: takes", takes, TAKES, other=", or None")
        self.moves_pixels = truth("Call: moves_pixels", moves_pixels)
        self.__post_init__()

    def spec(self, number: int = 0) -> dict[str, Any]:
        """Returns the call as plain data, which knows its function by number."""
        declared = {"dtype": self.dtype, "shape": None if self.shape is None else list(self.shape)}
        return {
            "op": "Call",
            "function": number,
            "name": called(self.function),
            "moves_pixels": self.moves_pixels,
            **{name: value for name, value in declared.items() if value is not None},
        }

    def numbered(self, functions: list[Function]) -> dict[str, Any]:
        """Returns the call as plain data, and adds its function to those of a loader."""
        functions.append(Function(self.function, self.takes))
        return self.spec(len(functions) - 1)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Call) and vars(self) == vars(other)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        given = {"dtype": self.dtype, "shape": self.shape, "takes": self.takes}
        listed = "".join(f", {name}={value!r}" for name, value in given.items() if value is not None)
        moves = "" if self.moves_pixels else ", moves_pixels=False"
        return f"Call({called(self.function)}{listed}{moves})"


class Map:
    """Calls a function of yours with a whole sample: a dict of its fields, from which it makes another one.

    It stands between transforms of fields: ``transforms=[{"image": [RandomResizedCrop(224)]}, Map(function),
    {"image": [Normalize(...)]}]``. What stands before it is done first, with masks, boxes and keypoints that follow
    their image; the function gets what that gives; what stands after it is done to what the function gives. Each of the
    three may be left out, and several `Map` may follow each other.

    The function gets NumPy arrays of its own, which it may change in place and keep; texts as ``str`` and bytes as
    ``bytes``. A sample of a Python dataset it gets as that gives it, as a dict: with the names of a named tuple or a
    dataclass, those of ``fields``, or ``"0"``, ``"1"`` and so on. What it gives becomes fields as the samples of a
    Python dataset do: arrays, tensors, pictures, numbers, texts; what varies in shape becomes ragged. What a source of
    stokehold's counts while it decodes (see `Loader.stats`) is not counted before a `Map`.

    What it draws is a function of seed, epoch and index, as for `Call`.

    Args:
        function: What is called with the sample. It goes to the workers as cloudpickle has it, once.

    Raises:
        TypeError: `function` cannot be called.
    """

    def __init__(self, function: Callable[[Any], Any]) -> None:
        if not callable(function) or isinstance(function, type):
            raise TypeError(f"Map: function must be something to call, not {shown(function)}")
        self.function = function

    def __repr__(self) -> str:
        return f"Map({called(self.function)})"
