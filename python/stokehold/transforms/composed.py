"""Transforms that are made of others.

What is random in them is drawn as for any other transform, by sample; a transform that stands inside another one
changes no draws of those beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from stokehold import _native
from stokehold.checks import shown
from stokehold.hints import step_hint
from stokehold.transforms.base import BatchTransform, Transform, as_plain
from stokehold.transforms.calls import Call
from stokehold.user.functions import Function

__all__ = ["Compose", "RandomApply", "RandomChoice", "RandomOrder"]

_OWN: Final = "; a function of your own stands by itself, and draws what is random about it"


def is_for_samples(step: object) -> bool:
    """Tells whether it is a transform of samples."""
    return isinstance(step, Transform) and not (isinstance(step, RandomChoice) and step.of_batches)


def is_for_batches(step: object) -> bool:
    """Tells whether it is a transform of batches."""
    return isinstance(step, BatchTransform) and (not isinstance(step, RandomChoice) or step.of_batches)


def is_step(step: object) -> bool:
    """Tells whether it may stand among the transforms of a field: a transform of samples, or a function."""
    return is_for_samples(step) or (callable(step) and not isinstance(step, type | Transform | BatchTransform))


def described(step: Transform | Callable[..., Any], functions: list[Function]) -> dict[str, Any]:
    """Returns a transform as plain data, and adds the functions that it calls to those of a loader."""
    transform = step if isinstance(step, Transform) else Call(step)
    return transform.numbered(functions) if isinstance(transform, Call | Compose) else transform.spec()


def _all(transforms: object, fits: Callable[[object], bool], what: str, more: str = "") -> Sequence[Any]:
    """Returns transforms that all fit, or raises ``TypeError`` that says which does not."""
    if not isinstance(transforms, Sequence) or isinstance(transforms, str):
        raise TypeError(f"must be a list of {what}, not {shown(transforms)}{more}")
    for at, step in enumerate(transforms):
        if not fits(step):
            raise TypeError(f"must be a list of {what}; at {at} it has {step_hint(step)}{more}")
    return transforms


def _parts(transforms: object) -> list[dict[str, Any]]:
    """Returns transforms of samples as plain data, or raises ``TypeError``."""
    return [step.spec() for step in _all(transforms, is_for_samples, "stokehold's transforms of samples", _OWN)]


def _steps(transforms: object) -> list[dict[str, Any]]:
    """Returns transforms of samples and functions as plain data, or raises ``TypeError``."""
    functions: list[Function] = []
    what = "stokehold's transforms of samples and of functions"
    return [described(step, functions) for step in _all(transforms, is_step, what)]


def _choices(transforms: object) -> list[dict[str, Any]]:
    """Returns transforms of one of both kinds as plain data, or raises ``TypeError``."""
    if isinstance(transforms, Sequence) and any(
        all(map(kind, transforms)) for kind in (is_for_samples, is_for_batches)
    ):
        return [step.spec() for step in transforms]
    fits = (
        is_for_batches if isinstance(transforms, Sequence) and any(map(is_for_batches, transforms)) else is_for_samples
    )
    what = "MixUp, CutMix or RandomChoice of these, or of stokehold's transforms of samples"
    return [step.spec() for step in _all(transforms, fits, what, _OWN)]


@dataclass(frozen=True)
class Compose(Transform):
    """Applies transforms one after the other, as torchvision's ``Compose``.

    In the list of a field it stands for those in it, whatever they are, functions included: they draw as they would
    without it. ``transforms={"image": Compose([...])}`` is that list itself. As one of those that `RandomChoice`
    chooses from or that `RandomOrder` puts in order, it is one; then all of it takes pixels.

    Args:
        transforms: The transforms and functions, in order; may be empty.

    Raises:
        TypeError: It is no list of such.
    """

    transforms: Sequence[Transform | Callable[..., Any]] = field(metadata=as_plain(_steps))

    def numbered(self, functions: list[Function]) -> dict[str, Any]:
        """Returns the composition as plain data, and adds the functions in it to those of a loader."""
        return {"op": "Compose", "transforms": [described(step, functions) for step in self.transforms]}


@dataclass(frozen=True)
class RandomApply(Transform):
    """Applies transforms one after the other with probability `p`, as torchvision's ``RandomApply``: all or none.

    Takes and returns what they do. Images that are left out have the channels and the dtype of the others, or the
    loader refuses it by name; where their size is another one, as with a crop, what follows has to fix it: `Resize`,
    `CenterCrop` or alike. Masks, boxes and keypoints follow.

    Args:
        transforms: Transforms that take pixels: those that stand before `RandomErasing`, `Normalize`, `ToDtype` and
            `ToLayout`.
        p: The probability, 0.5 by default.

    Raises:
        TypeError: Not a list of transforms.
        ValueError: No transforms, some that take no pixels, or a probability outside 0 to 1.
    """

    transforms: Sequence[Transform] = field(metadata=as_plain(_parts))
    p: float = 0.5


@dataclass(frozen=True)
class RandomOrder(Transform):
    """Applies transforms in a random order, as torchvision's ``RandomOrder``.

    Takes and returns what they do, whatever the order: channels and dtype do not depend on it, or the loader refuses it
    by name; where the size does, what follows has to fix it. Masks, boxes and keypoints follow.

    Args:
        transforms: Transforms that take pixels, as for `RandomApply`; a `Compose` is one of them. At most 12
            where any of them changes what images are.

    Raises:
        TypeError: Not a list of transforms.
        ValueError: No transforms, or some that take no pixels.
    """

    transforms: Sequence[Transform] = field(metadata=as_plain(_parts))


@dataclass(frozen=True)
class RandomChoice(Transform, BatchTransform):
    """Applies one of several transforms, as torchvision's ``RandomChoice``: for samples or for batches, as they are.

    Among the transforms of a field it chooses for each sample, from transforms that take pixels (as for `RandomApply`;
    a `Compose` is one of them). They give the same channels and dtype, or the loader refuses it by name; where they
    give several sizes, what follows has to fix it. Masks, boxes and keypoints follow. Among ``batch_transforms`` it
    chooses for each batch, from `MixUp`, `CutMix` and `RandomChoice` of these.

    Args:
        transforms: What to choose from: all of samples, or all of batches.
        p: Their probabilities, up to a common factor; all are equally likely by default.

    Raises:
        TypeError: Not a list of transforms of one kind.
        ValueError: Nothing to choose from, transforms that take no pixels, another number of probabilities, or some
            that are negative, not finite or all zero.
    """

    transforms: Sequence[Transform] | Sequence[BatchTransform] = field(metadata=as_plain(_choices))
    p: Sequence[float] | None = None

    @property
    def of_batches(self) -> bool:
        """Whether it chooses for batches."""
        return all(map(is_for_batches, self.transforms))

    def check(self, description: str) -> None:
        """Raises `ValueError` for a description that cannot work."""
        check = _native.check_batch_transform if self.of_batches else _native.check_transform
        check(description)
