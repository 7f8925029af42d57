"""Functions that tests put among transforms: in a module, as those of users are, so that workers import them."""

from __future__ import annotations

import os
import random
import signal
import sys
import threading
import time
from typing import Any

import numpy as np

KEPT: list[Any] = []


def same(array: Any) -> Any:
    return array


def inverted(array: Any) -> Any:
    array[...] = 255 - array
    return array


def halved(array: Any) -> Any:
    return array[: len(array) // 2]


def mean(array: Any) -> float:
    return float(array.mean())


def listed(array: Any) -> Any:
    return array.tolist()


def counted(sample: Any) -> dict[str, int]:
    return {"count": len(sample["text"])}


def nothing(array: Any) -> None:
    array += 1


def kept(array: Any) -> Any:
    """Gives how many of the arrays that were kept are still what they were."""
    KEPT.append((array, array.copy()))
    return np.array([np.array_equal(*pair) for pair in KEPT]).all()


def drawn(array: Any) -> Any:
    """Noise of every global generator."""
    noise = [random.random(), random.gauss(0, 1), np.random.normal()]  # noqa: NPY002
    if "torch" in sys.modules:
        noise.append(sys.modules["torch"].rand(1).item())
    return np.asarray(noise[:3]).sum() + array.astype(np.float64)


class Noise:
    """Noise of generators of its own."""

    def __init__(self) -> None:
        self.generator = np.random.default_rng(0)
        self.parts = {"old": np.random.RandomState(0), "python": random.Random(0)}

    def __call__(self, array: Any) -> Any:
        old, python = self.parts["old"], self.parts["python"]
        return array + self.generator.random() + old.rand() + python.random()  # type: ignore[attr-defined]


class AtFive:
    """Does something where an array begins with a five; arrays of tests begin with their index."""

    def __init__(self, what: Any) -> None:
        self.what = what

    def __call__(self, array: Any) -> Any:
        if array.flat[0] == 5:
            self.what()
        return array


def boom() -> None:
    raise LookupError("sample five is cursed")


def system_exit() -> None:
    raise SystemExit(3)


def sys_exit() -> None:
    sys.exit(4)


def interrupted() -> None:
    raise KeyboardInterrupt


def stop_iteration() -> None:
    raise StopIteration


def ends() -> None:
    os._exit(9)


def killed() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def hangs() -> None:
    time.sleep(1000)


def forks() -> None:
    # Both come back: the second one is no worker.
    os.fork()


def threads() -> None:
    threading.Thread(target=time.sleep, args=(1000,), daemon=True).start()


def moves() -> None:
    os.chdir("/")


def closes() -> None:
    for descriptor in (0, 1, 2):
        os.close(descriptor)
        os.open("/dev/null", os.O_RDWR)


def leaks() -> None:
    KEPT.append(bytearray(1 << 20))


def brighter(batch: dict[str, Any]) -> None:
    batch["image"][...] += 1


def noisy(batch: dict[str, Any]) -> dict[str, Any]:
    batch["image"][...] = np.random.randint(0, 255, batch["image"].shape)  # noqa: NPY002
    return batch


def keeps_batch(batch: dict[str, Any]) -> None:
    KEPT.append(batch["image"])


def gives_other(batch: dict[str, Any]) -> Any:
    return {"image": batch["image"] + 1}


def swapped(sample: dict[str, Any]) -> dict[str, Any]:
    """A sample with other names, a new field, and noise."""
    return {
        "picture": sample["image"][::-1],
        "label": sample["label"] + 1,
        "noise": random.random(),
        "name": f"sample {int(sample['label'])}",
    }


def at_five(sample: dict[str, Any]) -> dict[str, Any]:
    if sample["label"] == 5:
        boom()
    return sample


def no_dict(sample: dict[str, Any]) -> Any:
    return list(sample.values())
