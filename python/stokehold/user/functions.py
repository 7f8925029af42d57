"""Functions of the user as workers call them: what they get, and what is made of what they give."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import Any, Final, Literal, TypeAlias, cast, get_args

import numpy as np
import numpy.typing as npt

from stokehold.user.generators import Reseeder, reseeder

__all__ = ["TAKES", "Function", "Takes", "called", "given"]

Takes: TypeAlias = Literal["array", "tensor", "tv_image", "pil", "keywords"]
"""What a function gets: see `Call`."""

TAKES: Final = get_args(Takes)

NUMBERS: Final = (bool, int, float, np.generic)
CHANNELS_FIRST: Final = 3
"""How many axes an image has whose channels PyTorch expects first."""


class Function:
    """A function of the user, with what it gets, and what seeds the generators that it has of its own."""

    def __init__(self, function: Callable[..., Any], takes: Takes | None) -> None:
        self.function = function
        self.takes: Takes = takes or _taken(function)
        self._reseeder: Reseeder | None = None
        self._searched = False

    @property
    def name(self) -> str:
        """What the function is called in errors."""
        return called(self.function)

    @property
    def is_plain(self) -> bool:
        """Whether it gets arrays, and nothing is to be known of their axes."""
        return self.takes == "array"

    @property
    def reseed(self) -> Callable[[int], None] | None:
        """What seeds the generators that the function has of its own; none where it has none."""
        if not self._searched:
            self._reseeder, self._searched = reseeder(self.function), True
        return self._reseeder

    def __call__(self, array: npt.NDArray[Any], channel_axis: int | None) -> Any:
        """Calls the function with an array in the form that it takes, and returns what it gives with the same axes."""
        match self.takes:
            case "array":
                return self.function(array)
            case "keywords":
                return self.function(image=array)["image"]
            case "pil":
                from PIL import Image

                squeezed = array[..., 0] if channel_axis is not None and array.shape[-1] == 1 else array
                return _back(self.function(Image.fromarray(squeezed)), array, channel_axis)
            case "tensor" | "tv_image":
                return _back(self.function(_tensor(array, channel_axis, self.takes)), array, channel_axis)

    def __getstate__(self) -> dict[str, Any]:
        """Returns what crosses processes: generators are looked for where they are used."""
        return {"function": self.function, "takes": self.takes, "_reseeder": None, "_searched": False}


def called(function: object) -> str:
    """Returns what to call a function in errors."""
    name = getattr(function, "__qualname__", None) or type(function).__qualname__
    return str(name)


def given(value: Any) -> npt.NDArray[Any]:
    """Returns what a function gave as an array in C order, of a dtype that a batch holds.

    Raises:
        TypeError: It gave something else.
    """
    torch: Any = sys.modules.get("torch")
    if torch is not None and isinstance(value, torch.Tensor):
        if value.dtype == torch.bfloat16:
            raise TypeError("gave a tensor of bfloat16, which NumPy does not have: convert behind the function")
        value = value.detach().cpu().contiguous().numpy()
    if value is None:
        raise TypeError("gave None, and must give an array: one that is changed in place is given back too")
    is_array = isinstance(value, np.ndarray) or hasattr(value, "__array__") or isinstance(value, NUMBERS)
    if not is_array:
        raise TypeError(f"gave a {type(value).__name__}, and must give an array, a tensor, a picture or a number")
    array = np.asarray(value)
    if array.dtype.kind not in "biuf" or array.dtype.itemsize > np.dtype(np.float64).itemsize:
        raise TypeError(f"gave an array of {array.dtype}, and a batch holds numbers and booleans of up to 8 bytes")
    if not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="))
    return np.ascontiguousarray(array).reshape(array.shape)


def _taken(function: object) -> Takes:
    """Returns what a function takes of which nobody has said so, by the library that it is of."""
    roots = {kind.__module__.partition(".")[0] for kind in type(function).__mro__}
    if "albumentations" in roots:
        return "keywords"
    torch: Any = sys.modules.get("torch")
    if torch is not None and isinstance(function, torch.nn.Module):
        return "tv_image" if type(function).__module__.startswith("torchvision.transforms.v2") else "tensor"
    return "pil" if type(function).__module__.startswith("torchvision.transforms.") else "array"


def _tensor(array: npt.NDArray[Any], channel_axis: int | None, takes: str) -> Any:
    """Returns an array as a tensor, with the channels of an image first."""
    import torch

    tensor = torch.from_numpy(array)
    if channel_axis == CHANNELS_FIRST - 1:
        tensor = tensor.permute(2, 0, 1)
    if takes == "tensor":
        return tensor
    from torchvision import tv_tensors

    return tv_tensors.Image(tensor)


def _back(value: Any, array: npt.NDArray[Any], channel_axis: int | None) -> Any:
    """Returns what a function gave with its channels where those of its argument were."""
    torch: Any = sys.modules.get("torch")
    if torch is not None and isinstance(value, torch.Tensor):
        value = value.detach().as_subclass(torch.Tensor)
        if value.ndim == array.ndim + 1 and value.shape[0] == 1:
            # A batch of one, as kornia's.
            value = value[0]
        if channel_axis == CHANNELS_FIRST - 1 and value.ndim == CHANNELS_FIRST:
            value = value.permute(1, 2, 0)
    elif channel_axis is not None and not isinstance(value, np.ndarray) and hasattr(value, "getbands"):
        pixels = np.asarray(value)
        value = pixels[..., None] if pixels.ndim == CHANNELS_FIRST - 1 else pixels
    return value


def as_mapping(value: object) -> Mapping[str, Any]:
    """Returns what a function gave for a whole sample, or raises ``TypeError``."""
    if not isinstance(value, Mapping):
        raise TypeError(f"gave a {type(value).__name__}, and must give a dict of fields")
    return cast("Mapping[str, Any]", value)
