"""Fixtures: images, arrays, and a check that no test leaves anything behind."""

from __future__ import annotations

import functools
import gc
import multiprocessing.forkserver
import multiprocessing.resource_tracker
import os
import shutil
from collections import Counter
from collections.abc import Generator, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import stokehold as sh
from support import arena_mappings, eventually

# Threads that spin while they wait, as OpenMP's do, keep other processes from the processors. Read when it is loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

CLASSES = ("ash", "birch", "cedar")
FAILED = pytest.StashKey[bool]()
FORMATS = ((".jpg", "JPEG"), (".png", "PNG"), (".webp", "WEBP"), (".JPEG", "JPEG"))


@pytest.fixture(autouse=True)
def _a_plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name in {"RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE"} or name.startswith(("SLURM_", "OMPI_", "PMI_")):
            monkeypatch.delenv(name)


def belongings() -> dict[str, Counter[str]]:
    """What this process has: children, threads, descriptors, mapped arenas."""
    descriptors: Counter[str] = Counter()
    for entry in Path("/proc/self/fd").iterdir():
        try:
            descriptors[str(entry.readlink())] += 1
        except FileNotFoundError:  # The listing's own.
            continue
    return {
        "children": Counter(descendants("self")),
        "threads": Counter({"all": len(list(Path("/proc/self/task").iterdir()))}),
        "descriptors": descriptors,
        "arenas": Counter(arena_mappings()),
    }


def descendants(process: str) -> list[str]:
    """The processes below one, as the kernel lists them: to go through all of the machine's takes long."""
    children: list[str] = []
    for thread in Path(f"/proc/{process}/task").glob("*/children"):
        with suppress(OSError):  # It has ended.
            children += thread.read_text().split()
    return children + [below for child in children for below in descendants(child)]


def added(before: dict[str, Counter[str]]) -> dict[str, Counter[str]]:
    gc.collect()
    now = belongings()
    return {kind: now[kind] - before[kind] for kind in before if now[kind] - before[kind]}


def settled() -> None:
    """Spares later collections what a large library has made: with JAX and PyTorch, half a second each."""
    gc.collect()
    gc.freeze()


def pytest_collection_finish() -> None:
    # The tests are collected, and what they import with them.
    settled()


@pytest.fixture(scope="session")
def torch_started() -> None:
    """PyTorch has the threads, and `multiprocessing` the helpers, that they start at their first use."""
    torch = pytest.importorskip("torch")
    torch.ones(512, 512) @ torch.ones(512, 512)
    multiprocessing.resource_tracker.ensure_running()
    multiprocessing.forkserver.ensure_running()
    wait_for_torchs_own_workers(torch)


def wait_for_torchs_own_workers(torch: Any) -> None:
    """PyTorch's own iterator waits for workers that it terminates, as a later one does anyway; ours is as it is."""
    iterator = torch.utils.data.dataloader._MultiProcessingDataLoaderIter
    shutdown = iterator._shutdown_workers

    @functools.wraps(shutdown)
    def and_wait(self: Any) -> None:
        shutdown(self)
        if type(self) is iterator and self._shutdown:
            for worker in self._workers:
                worker.join(timeout=5)

    iterator._shutdown_workers = and_wait


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.failed:
        # Its traceback keeps the frames, and they keep their loaders.
        item.stash[FAILED] = True
    return report


@pytest.fixture(autouse=True)
def _leaves_nothing_behind(request: pytest.FixtureRequest) -> Iterator[None]:
    gc.collect()
    before = belongings()
    yield
    if FAILED in request.node.stash:
        return
    assert eventually(lambda: not added(before)), f"left behind: {added(before)}"


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 images in 3 classes, JPEG, PNG and WebP, of various sizes; not to be changed."""
    image = pytest.importorskip("PIL.Image")
    root = tmp_path_factory.mktemp("images") / "train"
    for number in range(24):
        width, height = 40 + 5 * (number % 7), 64 - 3 * (number % 5)
        y, x = np.mgrid[0:height, 0:width]
        pixels = np.stack([x * 255 // width, y * 255 // height, (x * y + 40 * number) % 256], -1).astype(np.uint8)
        suffix, kind = FORMATS[number % len(FORMATS)]
        path = root / CLASSES[number % len(CLASSES)] / f"{number:02}{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        image.fromarray(pixels if number % 6 else pixels[:, :, 0]).save(path, kind)
    return root


@pytest.fixture
def own_folder(folder: Path, tmp_path: Path) -> Path:
    """A copy of `folder`, to be damaged."""
    return Path(shutil.copytree(folder, tmp_path / "own"))


@pytest.fixture(scope="session")
def columns() -> dict[str, Any]:
    """Two arrays of 50 rows."""
    return {"x": np.random.default_rng(0).random((50, 3, 4), np.float32), "y": np.arange(50)}


@pytest.fixture(scope="session")
def arrays(columns: dict[str, Any]) -> sh.Arrays:
    return sh.Arrays(columns)


@pytest.fixture(scope="session")
def torch() -> Any:
    """PyTorch, its threads started."""
    torch = pytest.importorskip("torch")
    torch.ones(8).sum()
    # Some only start when there is more to do.
    torch.ones(512, 512) @ torch.ones(512, 512)
    settled()
    return torch


@pytest.fixture(scope="session")
def jax() -> Any:
    """JAX, its threads started."""
    jax = pytest.importorskip("jax")
    jax.config.update("jax_enable_x64", True)  # noqa: FBT003: JAX's signature
    jax.numpy.ones(8).sum().block_until_ready()
    settled()
    return jax
