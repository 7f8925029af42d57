"""Transforms of whole batches, under torchvision's names and with its arithmetic.

A batch is mixed by one worker once all its rows are written, where it lies: in its slot. What is drawn depends on the
seed, the epoch and the batch's place in the epoch alone. Every sample is mixed with the one in the row before it, the
first with the last (``batch.roll(1, 0)``), so shuffle; a batch of one sample is mixed with itself.

    >>> mixes = [MixUp(num_classes=1000, alpha=0.2), CutMix(num_classes=1000)]
    >>> loader = Loader(source, batch_size=64, shuffle=True, batch_transforms=[RandomChoice(mixes)])
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass

from stokehold.transforms.base import BatchTransform

__all__ = ["BatchTransform", "CutMix", "MixUp"]


@dataclass(frozen=True)
class MixUp(BatchTransform):
    """Adds each image and its label to those of the row before, as torchvision's v2 ``MixUp``.

    ``lam * own + (1 - lam) * previous``, with one ``lam`` for the batch, drawn from Beta(alpha, alpha). Computed in
    ``float32`` and rounded once to the field's dtype; ``uint8`` to the nearest integer, of two that are equally near to
    the even one (torchvision's takes no ``uint8``).

    The image field may have any shape, and is ``uint8``, ``float16``, ``bfloat16`` or ``float32``. The label field
    holds one integer a sample, 0 to ``num_classes - 1``, and becomes ``float32`` of shape ``(num_classes,)``; or it is
    of that dtype and shape already. A label that is none of the classes is a `DecodeError`, subject to ``on_error``.

    Args:
        alpha: The parameter of the beta distribution, 1.0 by default.
        num_classes: The number of classes; may be left out where labels are probabilities already.
        image: The field with the images, ``"image"`` by default.
        label: The field with the labels, ``"label"`` by default; None where masks alone say what is where.
        masks: Fields with masks of the images, none by default. They are added up as the images, and so are ``float``
            (`ToDtype`): of two indices of classes there is no mean.
        p: The probability that a batch is mixed, 1.0 by default. Labels become probabilities in any case.

    Raises:
        ValueError: An `alpha` that is not positive, a `num_classes` below 1, a probability outside 0 to 1, the same
            field twice, or neither label nor masks. Fields that are not there or cannot be mixed are found when the
            loader is made.
    """

    _: KW_ONLY
    alpha: float = 1.0
    num_classes: int | None = None
    image: str = "image"
    label: str | None = "label"
    masks: Sequence[str] = ()
    p: float = 1.0


@dataclass(frozen=True)
class CutMix(BatchTransform):
    """Pastes a box of the row before into each image, as torchvision's v2 ``CutMix``; labels are mixed by area.

    One box for the batch: around a pixel that is drawn, its sides ``sqrt(1 - lam)`` of the image's, cut to the image,
    with ``lam`` from Beta(alpha, alpha). The weight of the own label is the share of the image outside the box.

    The image field is of any dtype and of shape (H, W), (H, W, C) or (C, H, W) with 1, 3 or 4 channels. Labels are as
    `MixUp` has them.

    Args:
        alpha: The parameter of the beta distribution, 1.0 by default.
        num_classes: The number of classes; may be left out where labels are probabilities already.
        image: The field with the images, ``"image"`` by default.
        label: The field with the labels, ``"label"`` by default; None where masks alone say what is where.
        masks: Fields with masks of the images, none by default. The same box is pasted into them,
            from the same row; they are of any dtype, and as large as the images.
        p: The probability that a batch is mixed, 1.0 by default. Labels become probabilities in any case.

    Raises:
        ValueError: An `alpha` that is not positive, a `num_classes` below 1, a probability outside 0 to 1, the same
            field twice, or neither label nor masks. Fields that are not there or cannot be mixed are found when the
            loader is made.
    """

    _: KW_ONLY
    alpha: float = 1.0
    num_classes: int | None = None
    image: str = "image"
    label: str | None = "label"
    masks: Sequence[str] = ()
    p: float = 1.0
