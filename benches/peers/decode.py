"""The bare decoder in one thread: whole images from memory, one after another."""

from collections.abc import Callable, Iterator
from itertools import cycle
from pathlib import Path
from typing import Any

import harness


def run(job: harness.Job, decode: Callable[[bytes], Any], packages: tuple[str, ...]) -> None:
    """Measures a function that makes an array of the bytes of a JPEG file."""
    files = [Path(path).read_bytes() for path in job.files[:500]]

    def images() -> Iterator[tuple[Any]]:
        for data in cycle(files):
            yield (decode(data),)

    harness.run(job, images, lambda _: 1, packages)
