"""Fields that are made of others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from stokehold.transforms.base import Transform
from stokehold.transforms.composed import Compose

__all__ = ["View"]


class View:
    """A field that is made of another one, by transforms and with draws of its own.

    ``transforms={"view1": View("image", [...]), "view2": View("image", [...])}`` gives two fields, ``view1`` and
    ``view2``, of each image: SimCLR's two views, or as many as DINO's crops. The file is read and decoded once for all
    of them, as far as their `DecodeImage` are equal: the box around all parts that the views need, at full size
    (``scaled_decode`` is for one field of an image). Each view draws by itself, keyed by its own name, unless ``draws``
    says otherwise: with ``draws={"view1": "image"}`` it is the very image that the field ``image`` would be.

    Views stand where the field stands of which they are made, in the order in which they are listed. That field stays,
    before them, where `transforms` names it too (an empty list will do) or `capacity` does; else it is left out.

    Masks, boxes and keypoints follow the image that they lie in, and so each view of it that has any has views of them,
    which say so: ``"boxes1": View("boxes", image="view1")``. What follows an image of which nothing but views are left
    is refused unless there are such views of it. What goes with boxes, such as their labels, needs views likewise:
    ``"labels1": View("labels")`` with ``"boxes1": View("boxes", [SanitizeBoundingBoxes(labels=["labels1"])],
    image="view1")``. A mask is decoded for each view of it.

    Args:
        of: The field of the source.
        transforms: What makes the view of it, in order, or a `Compose` of that, as for any field; nothing by default.
        image: Of masks, boxes and keypoints: the field, a view of their image, that they follow.

    Raises:
        TypeError: A name is no text, or `transforms` is no list. Fields that are not there are found when the loader is
            made, and raise ``ValueError`` there.
    """

    def __init__(
        self, of: str, transforms: Sequence[Transform | Callable[..., Any]] | Compose = (), *, image: str | None = None
    ) -> None:
        if not isinstance(of, str):
            raise TypeError(f"View: of must be the name of a field, not {of!r}")
        if not isinstance(transforms, Sequence | Compose) or isinstance(transforms, str):
            raise TypeError(f"View: transforms must be a list of transforms, not {transforms!r}")
        if image is not None and not isinstance(image, str):
            raise TypeError(f"View: image must be the name of a field, not {image!r}")
        self.of = of
        self.transforms = transforms if isinstance(transforms, Compose) else tuple(transforms)
        self.image = image

    def __repr__(self) -> str:
        follows = "" if self.image is None else f", image={self.image!r}"
        steps = self.transforms if isinstance(self.transforms, Compose) else list(self.transforms)
        return f"View({self.of!r}, {steps!r}{follows})"
