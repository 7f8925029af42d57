"""Batches of several sizes of images, for ``Loader(cut=MultiScale(...))``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from stokehold import _native
from stokehold.checks import items, mapping, shown, whole
from stokehold.cut import Cut
from stokehold.recipe import Transforms, chains, views_of
from stokehold.user.functions import Function

__all__ = ["MultiScale"]

_MOST: Final = 2**30
"""The most samples of a batch, and batches of one variant that follow each other."""


class MultiScale(Cut):
    """Gives each batch one of several lists of transforms, its *variant*: so images have other sizes in other batches.

    So are YOLO's multi-scale training (Redmon and Farhadi, "YOLO9000", 2017, section 2) and the variable batch sampler
    of MobileViT and CVNets (Mehta and Rastegari, "MobileViT", 2022, section 3.3), which has more samples in batches of
    smaller images. Samples come in the order of the epoch, each once; a batch has as many as its variant says, and the
    epoch's last one what is left, unless the loader has ``drop_last``. The rows of a batch are all alike, and lie one
    after the other: `Batch.variant` says which variant it has, as the shapes do.

    Which one a batch has is drawn by the loader's seed, the epoch and the batch's number among those of all ranks, each
    variant as likely. A sample's own random choices are the same in each variant: they are keyed by the field and the
    name of a transform.

    Args:
        transforms: For each variant, what a `Loader` takes as ``transforms``: a mapping of fields to their transforms.
            Fields that are changed in the same way in all batches may have theirs in the loader's; then they are in
            none of these. All variants give the same fields, of the same dtypes and numbers of axes; extents may
            differ. What follows an image (masks, boxes, keypoints) follows it in each variant.
        batch_sizes: How many samples a batch of each variant has, 1 to 2**30: a number for each. None is the loader's
            ``batch_size`` for all; else that is left out.
        repeat: How many batches, one after the other, have the same variant, 1 to 2**30. Ranks take batches in turn:
            with the number of ranks, all of them have the same variant at each step, but for batches that come again at
            the epoch's end to even out the ranks (``even="pad"``). Keep it when a run is resumed with other ranks:
            with another `repeat`, or other `batch_sizes`, the rest of the epoch is planned anew.

    Raises:
        TypeError: An argument is of another type.
        ValueError: There is no variant, `batch_sizes` are not one for each, a number is out of its range, or variants
            have different views. A loader raises it for a transform that cannot take its field, for a field that
            the loader's ``transforms`` have too, for variants whose fields are not alike, and where its ``batch_size``
            is given beside `batch_sizes`.
    """

    transforms: Sequence[Transforms]
    """The transforms of each variant."""
    batch_sizes: list[int] | None
    """The samples of a batch of each variant; None for the loader's ``batch_size``."""
    repeat: int
    """How many batches, one after the other, have the same variant."""

    def __init__(
        self,
        transforms: Sequence[Transforms],
        batch_sizes: Sequence[int] | None = None,
        *,
        repeat: int = 1,
    ) -> None:
        what, meaning = "MultiScale: transforms", "a sequence of mappings of fields to lists of transforms"
        if isinstance(transforms, Mapping):
            raise TypeError(f"{what} must be {meaning}, one for each variant, not {shown(transforms)}")
        variants = enumerate(items(what, transforms, meaning))
        self.transforms = [
            mapping(f"{what}[{at}]", variant, "a mapping of fields to lists of transforms") for at, variant in variants
        ]
        if not self.transforms:
            raise ValueError(f"{what} must have at least one variant")
        for at, variant in enumerate(self.transforms):
            chains(variant, [], of=f"{what}[{at}]")
            if views_of(variant) != views_of(self.transforms[0]):
                raise ValueError(
                    f"{what}[{at}] must have the same views as {what}[0]: the same names, of the same fields"
                )
        self.batch_sizes = None if batch_sizes is None else self._sizes(batch_sizes)
        self.repeat = whole("MultiScale: repeat", repeat, 1, _MOST)

    def _sizes(self, given: Any) -> list[int]:  # noqa: ANN401 (whatever a user gives)
        what = "MultiScale: batch_sizes"
        if not isinstance(given, Sequence | np.ndarray) or isinstance(given, str):
            raise TypeError(f"{what} must be a sequence of integers, or None, not {shown(given)}")
        sizes = [
            whole(f"{what}[{at}]", size, 1, _MOST)
            for at, size in enumerate(items(what, given, "a sequence of integers, or None"))
        ]
        if len(sizes) != len(self.transforms):
            raise ValueError(f"{what} must be one for each variant, {len(self.transforms)}, not {len(sizes)}")
        return sizes

    def variants(self, functions: list[Function]) -> list[dict[str, list[dict[str, Any]]]]:
        """Returns the transforms of each variant as plain data, and adds the functions that they call."""
        listed = enumerate(self.transforms)
        return [chains(variant, functions, of=f"MultiScale: transforms[{at}]") for at, variant in listed]

    def views(self) -> list[dict[str, Any]]:
        """Returns the fields that variants make of others, as plain data."""
        return views_of(self.transforms[0])

    def groups(self, batch_size: int) -> int:
        """Returns how many groups of samples a batch has: it is one."""
        return batch_size if self.batch_sizes is not None else 1

    def native(self, source: Any, batch_size: int) -> _native.Cut:  # noqa: ANN401, ARG002 (a Source, or any dataset)
        """Returns the cut of a source as the core has it."""
        sizes = [batch_size] * len(self.transforms) if self.batch_sizes is None else self.batch_sizes
        return _native.Cut.multi_scale(sizes, self.repeat)

    def __repr__(self) -> str:
        return f"MultiScale({len(self.transforms)} variants, batch_sizes={self.batch_sizes}, repeat={self.repeat})"
