"""torchvision's operations on `uint8` images in NumPy: for every value all that correct roundings may make of it.

PyTorch's own results depend on the machine: whether a multiplication is fused with an addition, in which order BLAS and
oneDNN sum, whether there is a path for integers. So here a value is a range, from the lowest to the highest that
rounding each operation of a formula to `float32`, in any such way, can give; nearly everywhere that is one value.
What is computed in `float64` needs `+ - * /` only, which IEEE 754 fixes to the last bit, and a few sines and
exponentials, whose last bit is 2^-29 of the errors that are allowed for.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Floats: TypeAlias = npt.NDArray[np.float64]

U = 2.0**-24
"""The largest relative error of one rounding to `float32`."""


def float32(value: Any) -> Any:
    """Rounds to `float32`."""
    return np.asarray(value, np.float32).astype(np.float64)


Strength: TypeAlias = tuple[float, float]
"""From the least to the greatest that it may be."""
Factor: TypeAlias = float | Strength


def _ends(factor: Factor) -> Strength:
    least, most = factor if isinstance(factor, tuple) else (factor, factor)
    return float(float32(least)), float(float32(most))


def _rest(factor: Factor) -> Factor:
    """Returns 1 less the factor, before any rounding."""
    return (1 - factor[1], 1 - factor[0]) if isinstance(factor, tuple) else 1 - factor


@dataclass(frozen=True)
class Range:
    """An image of ranges, each of both ends; (height, width, channels)."""

    low: Floats
    high: Floats

    @staticmethod
    def of(image: npt.NDArray[Any]) -> Range:
        return Range(image.astype(np.float64), image.astype(np.float64))

    def __contains__(self, image: npt.NDArray[Any]) -> bool:
        return image.shape == self.low.shape and bool(((self.low <= image) & (image <= self.high)).all())

    def __or__(self, other: Range) -> Range:
        return Range(np.minimum(self.low, other.low), np.maximum(self.high, other.high))

    def undecided(self) -> float:
        """Returns the part of pixels that have more than one value."""
        return float((self.low < self.high).any(-1).mean())

    def moved(self, change: Callable[[Floats], Floats]) -> Range:
        """Returns what a change makes of it that computes nothing: a crop, a turn."""
        return Range(change(self.low), change(self.high))

    def times(self, factor: Factor) -> Range:
        """Multiplies by a factor that is not negative."""
        least, most = _ends(factor)
        return Range(float32(self.low * least), float32(self.high * most))

    def plus(self, other: Range, factor: Factor) -> Range:
        """Adds another image, times a factor: torch's `add(other, alpha=factor)`, with one rounding or with two.

        That one is the second of `float64`, which makes a difference once in 2^29.
        """
        exact = [end * each for end in (other.low, other.high) for each in _ends(factor)]
        least, most = np.min(exact, axis=0), np.max(exact, axis=0)
        return Range(
            np.minimum(float32(self.low + least), float32(self.low + float32(least))),
            np.maximum(float32(self.high + most), float32(self.high + float32(most))),
        )

    def widened(self, error: Any) -> Range:
        return Range(self.low - error, self.high + error)

    def truncated(self) -> Range:
        """Returns the bytes that it is cut off to."""
        return Range(np.floor(self.low.clip(0, 255)), np.floor(self.high.clip(0, 255)))

    def rounded(self) -> Range:
        """Returns the bytes that it is rounded to; halves may go either way."""
        return Range(np.ceil(self.low.clip(0, 255) - 0.5), np.floor(self.high.clip(0, 255) + 0.5))


# Colours.


def grey(image: Range) -> Range:
    red, green, blue = (Range(image.low[..., at, None], image.high[..., at, None]) for at in range(3))
    return red.times(0.2989).plus(green, 0.587).plus(blue, 0.114).truncated()


def brightness(image: Range, factor: Factor) -> Range:
    return image.times(factor).truncated()


def saturation(image: Range, factor: Factor) -> Range:
    return image.times(factor).plus(grey(image), _rest(factor)).truncated()


def contrast(image: Range, factor: Factor) -> Range:
    shades = grey(image)
    # Whole numbers up to here are summed exactly in `float32`, in any order.
    assert shades.high.sum() < 2**24
    # It is divided by their number, or multiplied by the reciprocal.
    least = np.nextafter(np.float32(shades.low.mean()), np.float32(0))
    most = np.nextafter(np.float32(shades.high.mean()), np.float32(256))
    mean = Range(np.full((1, 1, 1), least, np.float64), np.full((1, 1, 1), most, np.float64))
    return image.times(factor).plus(mean, _rest(factor)).truncated()


def hue(image: npt.NDArray[np.uint8], turn: float) -> Range:
    """To hue, saturation and value, and back.

    The error, in units of `U`, where 1 is full brightness. Channels have 2, by the division by 255; their differences,
    the range among them, 5; a quotient of two differences 10 / range + 1. The hue in sixths is a difference of two
    quotients, plus 4 at most: 20 / range + 12; to turn it takes a division and a multiplication by 6 with three sums
    between: 60 more. The fall from the brightest channel is the range times the fraction of that, and up to 10 for an
    offset: 20 + 82. The saturation adds 8, brightness, three products and differences 8: 118 in all, then times 256.
    """
    values = image / 255.0
    high, low = values.max(-1), values.min(-1)
    spread = np.where(high > low, high - low, 1.0)
    red, green, blue = ((high - values[..., at]) / spread for at in range(3))
    sixths = np.where(
        high == values[..., 0], blue - green, np.where(high == values[..., 1], red + 2 - blue, green + 4 - red)
    )
    sixths = 6 * ((sixths / 6 + turn) % 1)
    place = (np.array([5.0, 3.0, 1.0]) + sixths[..., None]) % 6
    fall = np.minimum(place, 4 - place).clip(0, 1)
    exact = (high[..., None] - (high - low)[..., None] * fall) * 255.999
    return Range(exact, exact).widened(120 * U * 256).truncated()


def sharpness(image: Range, factor: Factor) -> Range:
    def smooth(values: Floats) -> Floats:
        rows = values[:-2] + values[1:-1] + values[2:]
        sums = rows[:, :-2] + rows[:, 1:-1] + rows[:, 2:] + 4 * values[1:-1, 1:-1]
        # Of thirteenths none is nearer to a half than 1 / 26, far beyond the error of nine products.
        return np.rint(sums / 13)

    inner = image.moved(lambda values: values[1:-1, 1:-1])
    less = Range(smooth(image.low) - inner.high, smooth(image.high) - inner.low)
    changed = inner.plus(less, _rest(factor)).truncated()
    whole = Range(image.low.copy(), image.high.copy())
    whole.low[1:-1, 1:-1], whole.high[1:-1, 1:-1] = changed.low, changed.high
    return whole


def posterized(image: Range, bits: int) -> Range:
    return image.moved(lambda values: values - values % 2 ** (8 - bits))


def inverted(image: Range) -> Range:
    return Range(255 - image.high, 255 - image.low)


def solarized(image: Range, thresholds: tuple[float, float]) -> Range:
    """Inverts from a threshold on, which lies between two."""
    first, last = (np.ceil(float32(255 * threshold)) for threshold in thresholds)
    kept = Range(image.low, np.minimum(image.high, last - 1))
    turned = inverted(Range(np.maximum(image.low, first), image.high))
    has_kept, has_turned = image.low < last, image.high >= first
    return Range(
        np.where(has_kept, np.where(has_turned, np.minimum(kept.low, turned.low), kept.low), turned.low),
        np.where(has_kept, np.where(has_turned, np.maximum(kept.high, turned.high), kept.high), turned.high),
    )


def stretched(image: Range) -> Range:
    """`autocontrast`."""
    (first_low, first_high), (last_low, last_high) = (
        (end(image.low, (0, 1)), end(image.high, (0, 1))) for end in (np.min, np.max)
    )

    def spread(values: Floats, first: Floats, last: Floats) -> Floats:
        scale = float32(float32(last - first) * float32(1 / 255))
        return np.where(last > first, float32((values - first) / np.where(last > first, scale, 1)), values)

    return Range(spread(image.low, first_high, last_high), spread(image.high, first_low, last_low)).truncated()


def equalized(image: Range) -> Range:
    channels = [_equalized(image.low[..., at], image.high[..., at]) for at in range(image.low.shape[-1])]
    return Range(*(np.stack(ends, -1) for ends in zip(*channels, strict=True)))


def _equalized(low: Floats, high: Floats) -> tuple[Floats, Floats]:
    greatest = low.max()
    assert greatest == high.max(), "the step would depend on roundings: take another picture"
    at_most = [np.bincount(ends.astype(int).ravel(), minlength=256) for ends in (high, low)]
    below = [np.cumsum(counts) - counts for counts in at_most]
    tables = []
    for count in ((low == greatest).sum(), (high == greatest).sum()):
        step = int(low.size - count) // 255
        tables += [((fewer + step // 2) // step).clip(0, 255) if step else np.arange(256) for fewer in below]
    return np.min(tables, 0)[low.astype(int)].astype(float), np.max(tables, 0)[high.astype(int)].astype(float)


# Blur.


def blurred(image: npt.NDArray[np.uint8], kernel: tuple[int, int], sigma: float, roundings: int) -> Range:
    """Of so many roundings in the sums of a pixel and of the weights, each of 255 at most; 16 more for the products."""

    def convolved(values: Floats, taps: int, axis: int) -> Floats:
        limit = (taps - 1) / (2 * math.sqrt(2))
        weights = np.exp(-((np.linspace(-limit, limit, taps) / sigma) ** 2))
        edges = [(taps // 2, taps // 2) if each == axis else (0, 0) for each in range(3)]
        windows = np.lib.stride_tricks.sliding_window_view(np.pad(values, edges, "reflect"), taps, axis)
        sums: Floats = windows @ (weights / weights.sum())
        return sums

    exact = convolved(convolved(image.astype(float), kernel[0], 1), kernel[1], 0)
    return Range(exact, exact).widened((roundings + 16) * 255 * U).rounded()


# Affine maps.

Matrix: TypeAlias = list[float]
Fill: TypeAlias = int | tuple[int, int, int] | None


def inverse(
    size: tuple[int, int],
    angle: float,
    translate: tuple[float, float] = (0, 0),
    *,
    scale: float = 1,
    shear: tuple[float, float] = (0, 0),
    center: tuple[float, float] | None = None,
) -> Matrix:
    """torchvision's `_get_inverse_affine_matrix` about the centre of an image of (height, width)."""
    height, width = size
    x, y = (0.0, 0.0) if center is None else (center[0] - width / 2, center[1] - height / 2)
    turn, across, down = (math.radians(each) for each in (angle, *shear))
    a = math.cos(turn - down) / math.cos(down)
    b = -(a * math.tan(across) + math.sin(turn))
    c = math.sin(turn - down) / math.cos(down)
    d = math.cos(turn) - c * math.tan(across)
    a, b, c, d = d / scale, -b / scale, -c / scale, a / scale
    moved_x, moved_y = x + translate[0], y + translate[1]
    return [a, b, x - a * moved_x - b * moved_y, c, d, y - c * moved_x - d * moved_y]


def expanded(matrix: Matrix, size: tuple[int, int]) -> tuple[int, int]:
    """torchvision's `_compute_affine_output_size`, for a size that does not depend on rounding."""
    lengths = []
    for (a, b, c), edge in zip((matrix[3:], matrix[:3]), size, strict=True):
        corners = [
            a * x + b * y + c + edge / 2 for x in (-size[1] / 2, size[1] / 2) for y in (-size[0] / 2, size[0] / 2)
        ]
        ends = min(corners), max(corners)
        # It is cut to four places, after about five roundings of each corner.
        assert all(abs(end - round(end)) > 2e-4 + 8 * U * sum(size) for end in ends), "take another angle"
        lengths.append(math.ceil(ends[1]) - math.floor(ends[0]))
    return lengths[0], lengths[1]


def _places(matrix: Matrix, edge: int, out: tuple[int, int]) -> tuple[Floats, Floats]:
    """Returns where in the image each pixel of the result is taken from, along one edge, and the error of that.

    A number of the matrix is rounded, divided by half the edge, multiplied, and part of two sums: 5 roundings of each
    term. One is added and the whole multiplied by the edge: 2 roundings of as many pixels; and a half is subtracted.
    """
    a, b, c = matrix
    x = np.arange(out[1]) - (out[1] - 1) / 2
    y = (np.arange(out[0]) - (out[0] - 1) / 2)[:, None]
    place = a * x + b * y + c + (edge - 1) / 2
    terms = np.abs(a * x) + np.abs(b * y) + abs(c)
    return place, 1.01 * U * (5 * terms + 2 * np.abs(place + 0.5) + np.abs(place))


def _at(values: Floats, row: Any, column: Any, outside: Any) -> Floats:
    """Returns the pixels at whole places."""
    height, width, _ = values.shape
    row, column = np.broadcast_arrays(row.astype(int), column.astype(int))
    inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
    pixels: Floats = values[row.clip(0, height - 1), column.clip(0, width - 1)]
    return np.where(inside[..., None], pixels, outside)


def nearest(image: Range, matrix: Matrix, fill: Fill = None, out: tuple[int, int] | None = None) -> Range:
    """Takes the nearest pixel. Where two are about equally near it is either."""
    height, width, _ = image.low.shape
    out = out or (height, width)
    return _nearest_at(image, _places(matrix[:3], width, out), _places(matrix[3:], height, out), fill)


Places: TypeAlias = tuple[Floats, Floats]
"""Where pixels are taken from along one axis, and the error of that."""


def _nearest_at(image: Range, columns: Places, rows: Places, fill: Fill) -> Range:
    (x, x_error), (y, y_error) = columns, rows
    outside = np.asarray(fill or 0, float)
    found = None
    for column in (np.ceil(x - x_error - 0.5), np.floor(x + x_error + 0.5)):
        for row in (np.ceil(y - y_error - 0.5), np.floor(y + y_error + 0.5)):
            one = Range(_at(image.low, row, column, outside), _at(image.high, row, column, outside))
            found = found | one if found else one
    assert found
    return found


def mixed(image: npt.NDArray[np.uint8], matrix: Matrix, fill: Fill = None, out: tuple[int, int] | None = None) -> Range:
    """Mixes the four nearest pixels, and the fill as far as they lie outside.

    Between whole places the mixture is straight along each axis, so that its ends are at those of the places' error or
    at a whole place between. A weight has an error of 5 roundings, as has their sum for each of four, with four of the
    sum's own: 24 of 255; the fill takes part by such a sum again, and by three operations: 51.
    """
    height, width, _ = image.shape
    out = out or (height, width)
    return _mixed_at(image, _places(matrix[:3], width, out), _places(matrix[3:], height, out), fill)


def _mixed_at(image: npt.NDArray[np.uint8], columns: Places, rows: Places, fill: Fill) -> Range:
    height, width, channels = image.shape
    (x, x_error), (y, y_error) = columns, rows
    covered = np.concatenate([image.astype(float), np.ones((height, width, 1))], -1)
    found = None
    for column in (x - x_error, x + x_error, np.rint(x).clip(x - x_error, x + x_error)):
        for row in (y - y_error, y + y_error, np.rint(y).clip(y - y_error, y + y_error)):
            left, top = np.floor(column), np.floor(row)
            sums = np.zeros((*x.shape, channels + 1))
            for down, across in ((0, 0), (0, 1), (1, 0), (1, 1)):
                weight = np.abs(1 - across - column + left) * np.abs(1 - down - row + top)
                sums += weight[..., None] * _at(covered, top + down, left + across, 0.0)
            values, inside = sums[..., :-1], sums[..., -1:]
            if fill is not None:
                values = (values - np.asarray(fill, float)) * inside + np.asarray(fill, float)
            found = found | Range(values, values) if found else Range(values, values)
    assert found
    return found.widened(51 * 255 * U).rounded()


def perspective(
    image: npt.NDArray[np.uint8], ends: list[tuple[int, int]], fill: Fill = None, *, mixes: bool = False
) -> Range:
    """Moves the corners, clockwise from the top left, to `ends`, (x, y) each: torchvision's `perspective`.

    A coefficient is rounded, divided by half the edge, multiplied, and part of two sums: 5 roundings of each term above
    the line, 4 below it. The quotient is rounded, one is taken away and added again, and it is multiplied by the edge:
    4 roundings of as many pixels as there are up to its place; and a half is subtracted.
    """
    height, width, _ = image.shape
    starts = [(0, 0), (width - 1, 0), (width - 1, height - 1), (0, height - 1)]
    equations = []
    for (to_x, to_y), (at_x, at_y) in zip(starts, ends, strict=True):
        equations.append([at_x, at_y, 1, 0, 0, 0, -to_x * at_x, -to_x * at_y])
        equations.append([0, 0, 0, at_x, at_y, 1, -to_y * at_x, -to_y * at_y])
    a, b, c, d, e, f, g, h = np.linalg.solve(np.array(equations, float), np.array(starts, float).reshape(8))
    x, y = np.arange(width) + 0.5, (np.arange(height) + 0.5)[:, None]
    below = g * x + h * y + 1
    below_terms = np.abs(g * x) + np.abs(h * y) + 1

    def places(across: float, down: float, shift: float, edge: int) -> Places:
        place = (across * x + down * y + shift) / below
        terms = (np.abs(across * x) + np.abs(down * y) + abs(shift)) / np.abs(below)
        quotient = 5 * terms + 4 * np.abs(place) * below_terms / np.abs(below)
        return place - 0.5, 1.01 * U * (quotient + 4 * np.maximum(np.abs(place), edge))

    columns, rows = places(a, b, c, width), places(d, e, f, height)
    return _mixed_at(image, columns, rows, fill) if mixes else _nearest_at(Range.of(image), columns, rows, fill)


def rotated(image: Range, angle: float, mixes: bool = False, expand: bool = False, fill: Fill = None) -> Range:
    """Rotates anticlockwise; by quarters, where they keep the shape, without any arithmetic."""
    angle %= 360
    height, width, _ = image.low.shape
    if angle % 180 == 0 or (angle % 90 == 0 and (expand or height == width)):
        return image.moved(lambda values: np.rot90(values, round(angle / 90)))
    matrix = inverse((height, width), -angle)
    out = expanded(matrix, (height, width)) if expand else None
    if mixes:
        return mixed(image.low.astype(np.uint8), matrix, fill, out)
    return nearest(image, matrix, fill, out)


# What the automatic augmentations choose from.


def linspace(first: float, last: float, steps: int) -> list[Strength]:
    """torch's `linspace` of `float32`, each value from either end, on which rows of eight or sixteen begin anywhere."""
    first, last = float32(first), float32(last)
    step = float32(float32(last - first) / (steps - 1))
    values = []
    for at in range(steps):
        found = set()
        for base in range(at + 1):
            for start, count in ((first, base), (last, base - (steps - 1))):
                for product in (step * count, float32(step * count)):
                    begin = float32(start + product)
                    for more in (step * (at - base), float32(step * (at - base))):
                        found.add(float(float32(begin + more)))
        values.append((min(found), max(found)))
    return values


def strengths(name: str, bins: int, size: tuple[int, int], *, wide: bool = False) -> list[Strength]:
    """Returns the strengths of an operation, weakest first; one that has none is 0 strong."""
    if name == "Posterize":
        cuts = np.arange(bins, dtype=np.float32) / np.float32((bins - 1) / (6 if wide else 4))
        return [(float(bits), float(bits)) for bits in np.rint(8 - cuts)]
    if name == "Solarize":
        return linspace(1, 0, bins)
    most = dict.fromkeys(("Brightness", "Color", "Contrast", "Sharpness"), 0.99 if wide else 0.9)
    most |= dict.fromkeys(("ShearX", "ShearY"), 0.99 if wide else 0.3)
    most |= {
        "Rotate": 135 if wide else 30,
        "TranslateX": 32 if wide else 150 / 331 * size[1],
        "TranslateY": 32 if wide else 150 / 331 * size[0],
    }
    return linspace(0, most[name], bins) if name in most else [(0.0, 0.0)]


def augmented(image: Range, name: str, strength: Strength) -> Range:
    """What an operation makes of an image, by the nearest pixel and without a fill."""
    factor = 1 + min(strength), 1 + max(strength)
    made: dict[str, Callable[[], Range]] = {
        "Identity": lambda: image,
        "Brightness": lambda: brightness(image, factor),
        "Color": lambda: saturation(image, factor),
        "Contrast": lambda: contrast(image, factor),
        "Sharpness": lambda: sharpness(image, factor),
        "Solarize": lambda: solarized(image, strength),
        "Posterize": lambda: posterized(image, int(strength[0])),
        "AutoContrast": lambda: stretched(image),
        "Equalize": lambda: equalized(image),
        "Invert": lambda: inverted(image),
    }
    # Places go straight from those of the one end of a strength to those of the other.
    return made[name]() if name in made else _moved(image, name, strength[0]) | _moved(image, name, strength[1])


def _moved(image: Range, name: str, strength: float) -> Range:
    if name == "Rotate":
        return rotated(image, strength)
    size, degrees, whole = (image.low.shape[0], image.low.shape[1]), math.degrees(math.atan(strength)), int(strength)
    matrix = {
        "ShearX": inverse(size, 0, shear=(degrees, 0), center=(0, 0)),
        "ShearY": inverse(size, 0, shear=(0, degrees), center=(0, 0)),
        "TranslateX": inverse(size, 0, (whole, 0)),
        "TranslateY": inverse(size, 0, (0, whole)),
    }
    return nearest(image, matrix[name])


# Resizing.


def _weights(inner: int, outer: int, interpolation: str) -> tuple[Floats, float]:
    """Returns the weights of the `inner` pixels in each of the `outer`, and the error of sums with 16-bit weights."""
    scale = inner / outer
    stretch = max(scale, 1.0)
    center = (np.arange(outer)[:, None] + 0.5) * scale
    away = np.abs(np.arange(inner) + 0.5 - center) / stretch
    if interpolation == "bilinear":
        weights = (1 - away).clip(0)
    else:
        near, far = (1.5 * away - 2.5) * away**2 + 1, ((-0.5 * away + 2.5) * away - 4) * away + 2
        weights = np.where(away < 1, near, np.where(away < 2, far, 0.0))
    weights /= weights.sum(1, keepdims=True)
    # Whole numbers of so many bits that the greatest one takes no more than 15, each wrong by half a unit.
    bits = next(bits for bits in range(23) if bits == 22 or round(weights.max() * 2 ** (bits + 1)) >= 2**15)
    return weights, float((weights != 0).sum(1).max()) * 255 * 0.5**bits / 2 + 1e-6


def resized(image: npt.NDArray[np.uint8], size: tuple[int, int], interpolation: str, *, width_first: bool) -> Range:
    """Resizes one edge, rounds to bytes, and resizes the other one, with weights of 16 bits or more."""
    result = Range.of(image)
    for axis in (1, 0) if width_first else (0, 1):
        if image.shape[axis] == size[axis]:
            continue
        weights, error = _weights(image.shape[axis], size[axis], interpolation)

        def sums(weights: Floats, values: Floats, axis: int = axis) -> Floats:
            return np.moveaxis(np.tensordot(weights, values, (1, axis)), 0, axis)

        middle = sums(weights, (result.low + result.high) / 2)
        away = sums(np.abs(weights), (result.high - result.low) / 2)
        result = Range(middle - away, middle + away).widened(error).rounded()
    return result


def smooth(image: npt.NDArray[np.uint8], size: tuple[int, int], interpolation: str) -> Range:
    """Resizes without rounding in between, in `float32`.

    Where a pixel lies is a product with a rounded ratio: 2 roundings of up to the whole edge. Each weight has the error
    of that, by the stretch of the filter, and 8 of its own with the sum that it is part of.
    """
    weights, roundings = [], 0.0
    for inner, outer in zip(image.shape, size, strict=False):
        weights.append(_weights(inner, outer, interpolation)[0])
        roundings += float((weights[-1] != 0).sum(1).max()) * (2 * min(inner, outer) + 8)
    exact = np.einsum("yv,xh,vhc->yxc", *weights, image.astype(float), optimize=True)
    return Range(exact, exact).widened(roundings * 255 * U).rounded()
