"""Reads COCO's annotation files as leniently as pycocotools does, and counts what it passes over and fills in."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeGuard

from stokehold.checks import SHOWN, shown

__all__ = ["AnnotationFile", "Image", "Object"]


BOX_NUMBERS: Final = 4
"""x, y, width and height."""
LARGEST: Final = 1e38
"""What a batch holds as ``float32``, sums of two included."""


@dataclass(slots=True)
class Image:
    """An image of the file, and the objects in it."""

    id: Any
    entry: dict[str, Any]
    file_name: str
    objects: list[Object] = field(default_factory=list)


@dataclass(slots=True)
class Object:
    """An annotation with all that an object in a batch needs."""

    entry: dict[str, Any]
    name: str
    """What to call it in an error."""
    box: Sequence[float]
    label: int
    area: float
    crowd: int
    points: Sequence[float]


class AnnotationFile:
    """The images of a file in the order of their ids, as torchvision's ``CocoDetection`` has them.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file is no COCO annotation file, has no images, or has something that cannot be used; the file
            and the entry are named.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.counters: Counter[str] = Counter()
        # Names of files that are no UTF-8 keep their bytes.
        text = path.read_text(encoding="utf-8-sig", errors="surrogateescape")
        try:
            content = json.loads(text)
        except ValueError as error:
            raise self.error(f"is no JSON: {error}") from error
        except RecursionError as error:
            raise self.error("is no COCO annotation file: it is nested too deeply") from error
        if not isinstance(content, dict):
            raise self.error(f"is no COCO annotation file: it holds {_kind(content)}, not an object")
        images = dict(self._images(content))
        for number, entry in enumerate(self._list(content, "annotations")):
            self._annotation(number, entry, images)
        try:
            self.images = [images[each] for each in sorted(images)]
        except TypeError as error:
            raise self.error(f"has images whose ids cannot be ordered: {error}") from error
        if not self.images:
            raise self.error("has no images")
        self.categories = dict(self._categories(content))
        self.points = max((len(each.points) // 3 for image in self.images for each in image.objects), default=0)
        self._count_points()

    def error(self, what: str) -> ValueError:
        """Returns an error that names the file."""
        return ValueError(f"`{self.path}` {what}")

    def _list(self, content: dict[str, Any], name: str) -> list[dict[str, Any]]:
        entries = content.get(name)
        if entries is None:
            return []
        if not isinstance(entries, list):
            raise self.error(f"is no COCO annotation file: its {name} are {_kind(entries)}, not a list")
        for number, entry in enumerate(entries):
            if not isinstance(entry, dict):
                raise self.error(f"is no COCO annotation file: number {number} of its {name} is {_kind(entry)}")
        return entries

    def _images(self, content: dict[str, Any]) -> Iterator[tuple[Any, Image]]:
        seen = set()
        for number, entry in enumerate(self._list(content, "images")):
            key = entry.get("id")
            if isinstance(key, bool) or not (isinstance(key, int | str) or _is_number(key)):
                raise self.error(f"has an image without a usable id: number {number}, {_short(entry)}")
            name = entry.get("file_name")
            if not isinstance(name, str) or not name:
                raise self.error(f"has an image without a usable file_name: image {shown(key)}, {_short(entry)}")
            self.counters["repeated_images"] += key in seen
            seen.add(key)
            # The last one counts, as for pycocotools.
            yield key, Image(key, entry, name)

    def _categories(self, content: dict[str, Any]) -> Iterator[tuple[int, str]]:
        for number, entry in enumerate(self._list(content, "categories")):
            key = _whole(entry.get("id"))
            if key is None:
                raise self.error(f"has a category without a usable id: number {number}, {_short(entry)}")
            name = entry.get("name")
            self.counters["unnamed_categories"] += name is None
            yield key, str(key) if name is None else str(name)

    def _annotation(self, number: int, entry: dict[str, Any], images: dict[Any, Image]) -> None:
        if "image_id" not in entry:
            raise self.error(f"has an annotation without image_id: {_name(number, entry)}, {_short(entry)}")
        key = entry["image_id"]
        image = images.get(key) if isinstance(key, Hashable) else None
        if image is None:
            self.counters["annotations_without_image"] += 1
            return
        name = f"{_name(number, entry)} of image {shown(key)}"
        box = entry.get("bbox")
        if box is None or (isinstance(box, list) and not box):
            self.counters["annotations_without_box"] += 1
            return
        if not isinstance(box, list) or len(box) != BOX_NUMBERS or not all(map(_is_number, box)):
            raise self.error(f"has a bbox that is not four numbers: {name}, bbox {_short(box)}")
        label = _whole(entry.get("category_id"))
        if label is None:
            raise self.error(f"has a category_id that is no whole number: {name}, {_short(entry.get('category_id'))}")
        area = self._value(entry, "area", name)
        crowd = self._value(entry, "iscrowd", name)
        if crowd not in range(256):
            raise self.error(f"has an iscrowd that is not 0 to 255: {name}, {crowd}")
        points = entry.get("keypoints") or []
        if not isinstance(points, list) or len(points) % 3 or not all(map(_is_number, points)):
            raise self.error(f"has keypoints that are not x, y and visibility of each: {name}, {_short(points)}")
        image.objects.append(Object(entry, name, box, label, area, int(crowd), points))

    def _value(self, entry: dict[str, Any], key: str, name: str) -> float:
        value = entry.get(key)
        if value is None:
            self.counters[f"annotations_without_{key}"] += 1
            return 0
        if not isinstance(value, bool) and not _is_number(value):
            raise self.error(f"has an {key} that is no number: {name}, {_short(value)}")
        return float(value)

    def _count_points(self) -> None:
        for image in self.images if self.points else ():
            for each in image.objects:
                self.counters["annotations_with_fewer_keypoints"] += len(each.points) < 3 * self.points


def _is_number(value: object) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and -LARGEST < value < LARGEST


def _whole(value: object) -> int | None:
    """Returns a whole number that an integer of 64 bits holds."""
    if not _is_number(value) or value != int(value) or not -(2**63) <= value < 2**64:
        return None
    return int(value)


def _name(number: int, entry: dict[str, Any]) -> str:
    key = entry.get("id")
    return f"annotation number {number}" if key is None else f"annotation {shown(key)}"


def _kind(value: object) -> str:
    return {dict: "an object", list: "a list", str: "a text", type(None): "null"}.get(type(value), repr(value))


def _short(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."
