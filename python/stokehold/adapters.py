"""Transforms of other libraries that take an image with what lies in it, for a `Map`.

>>> flip = TorchVision(v2.RandomHorizontalFlip(), image="image", mask="mask", boxes="boxes")
>>> loader = Loader(table, transforms=[Map(flip), {"image": [ToLayout("CHW")]}])
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, TypeAlias, get_args

import numpy as np

from stokehold.checks import names, one_of, shown, text

__all__ = ["Albumentations", "TorchVision"]

Format: TypeAlias = Literal["XYXY", "XYWH", "CXCYWH"]


class TorchVision:
    """Gives fields of a sample to a transform of torchvision's v2 as what they are: all of them together.

    Args:
        transform: The transform: a module, or a composition.
        image: The field of the image, (H, W, C) or (H, W).
        mask: The field of a mask, (H, W) or (objects, H, W).
        boxes: The field of bounding boxes, (n, 4).
        format: What the four numbers of a box are, ``"XYXY"`` by default.

    Fields that are not named stay as they are. Images come back (H, W, C).
    """

    def __init__(
        self,
        transform: Callable[..., Any],
        *,
        image: str,
        mask: str | None = None,
        boxes: str | None = None,
        format: Format = "XYXY",  # noqa: A002 (torchvision's name)
    ) -> None:
        _check("TorchVision", transform)
        self.transform = transform
        for argument, name in (("image", image), ("mask", mask), ("boxes", boxes)):
            _check_name(f"TorchVision: {argument}", name, is_needed=argument == "image")
        self.image, self.mask, self.boxes = image, mask, boxes
        self.format: Format = one_of("TorchVision: format", format, get_args(Format))

    def __call__(self, sample: Mapping[str, Any]) -> dict[str, Any]:
        """Returns the sample as the transform changes it."""
        import torch  # noqa: PLC0415 (only where it is used)
        from torchvision import tv_tensors  # noqa: PLC0415

        pixels = np.asarray(sample[self.image])
        planes = torch.from_numpy(pixels)
        planes = planes.permute(2, 0, 1) if planes.ndim == len("CHW") else planes[None]
        given: dict[str, Any] = {self.image: tv_tensors.Image(planes)}
        if self.mask is not None:
            given[self.mask] = tv_tensors.Mask(torch.from_numpy(np.asarray(sample[self.mask])))
        if self.boxes is not None:
            boxes = torch.from_numpy(np.asarray(sample[self.boxes]))
            given[self.boxes] = tv_tensors.BoundingBoxes(boxes, format=self.format, canvas_size=pixels.shape[:2])
        made = {name: value.as_subclass(torch.Tensor) for name, value in self.transform(given).items()}
        image = made[self.image]
        made[self.image] = image.permute(1, 2, 0) if pixels.ndim == len("CHW") else image[0]
        return {**sample, **made}


class Albumentations:
    """Gives fields of a sample to a composition of Albumentations under the names of its targets.

    Args:
        transform: The composition. For boxes and keypoints it says by ``bbox_params`` and ``keypoint_params`` what
            they are.
        image: The field of the image, (H, W, C) or (H, W).
        mask: The field of a mask, (H, W).
        boxes: The field of bounding boxes, (n, 4).
        keypoints: The field of keypoints, (n, 2).
        others: Fields that go along under their own names, such as the ``label_fields`` of boxes.

    Fields that are not named stay as they are. Boxes and keypoints come back as ``float32``.
    """

    def __init__(
        self,
        transform: Callable[..., Any],
        *,
        image: str,
        mask: str | None = None,
        boxes: str | None = None,
        keypoints: str | None = None,
        others: Sequence[str] = (),
    ) -> None:
        _check("Albumentations", transform)
        self.transform = transform
        for argument, name in (("image", image), ("mask", mask), ("boxes", boxes), ("keypoints", keypoints)):
            _check_name(f"Albumentations: {argument}", name, is_needed=argument == "image")
        targets = {"image": image, "mask": mask, "bboxes": boxes, "keypoints": keypoints}
        self.targets = {target: name for target, name in targets.items() if name is not None}
        self.others = tuple(names("Albumentations: others", others, "a sequence of names of fields"))

    def __call__(self, sample: Mapping[str, Any]) -> dict[str, Any]:
        """Returns the sample as the transform changes it."""
        given = {target: sample[name] for target, name in self.targets.items()}
        made = self.transform(**given, **{name: sample[name] for name in self.others})
        changed = {name: made[target] for target, name in self.targets.items()}
        for target, width in (("bboxes", 4), ("keypoints", 2)):
            if target in self.targets:
                rows = np.asarray(made[target], np.float32).reshape(len(made[target]), -1)
                changed[self.targets[target]] = np.ascontiguousarray(rows[:, :width]).reshape(-1, width)
        return {**sample, **changed, **{name: np.asarray(made[name]) for name in self.others}}


def _check(name: str, transform: object) -> None:
    if not callable(transform) or isinstance(transform, type):
        raise TypeError(f"{name}: transform must be something to call, not {shown(transform)}")


def _check_name(what: str, name: object, *, is_needed: bool) -> None:
    if name is not None or is_needed:
        text(what, name, "the name of a field" if is_needed else "the name of a field, or None")
