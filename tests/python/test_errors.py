"""Bad folders and bad samples: the right exception, and iteration goes on."""

from __future__ import annotations

import errno
import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import stokehold as sh
from support import image_loader, order, value, values

WORKERS = pytest.mark.parametrize("workers", [0, 1, 2])
PLAIN = {"shuffle": False, "batch_size": 4}


def png_header(width: int, height: int) -> bytes:
    """A PNG whose header tells of this size, with next to no pixels."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")


def halve(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def garble(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[8:] = bytes(len(content) - 8)
    path.write_bytes(content)


def become(make: Callable[[Path], object]) -> Callable[[Path], None]:
    def damage(path: Path) -> None:
        path.unlink()
        make(path)

    return damage


def refuse(path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may read every file: not tested")
    path.chmod(0)


DAMAGES: dict[str, tuple[Callable[[Path], object], type[Exception], str, int | None]] = {
    "truncated": (halve, sh.DecodeError, "decode", None),
    "garbled": (garble, sh.DecodeError, "decode", None),
    "text": (lambda path: path.write_text("<html>404</html>"), sh.DecodeError, "decode", None),
    "bomb": (lambda path: path.write_bytes(png_header(60_000, 60_000)), sh.DecodeError, "decode", None),
    "zero-sized": (lambda path: path.write_bytes(png_header(0, 5)), sh.DecodeError, "decode", None),
    "empty": (lambda path: path.write_bytes(b""), OSError, "read", None),
    "deleted": (Path.unlink, FileNotFoundError, "read", errno.ENOENT),
    "fifo": (become(os.mkfifo), OSError, "read", None),
    "directory": (become(Path.mkdir), OSError, "read", None),
    "link to itself": (become(lambda path: path.symlink_to(path)), OSError, "read", errno.ELOOP),
    "unreadable": (refuse, PermissionError, "read", errno.EACCES),
}


def victim_of(folder: Path, at: int) -> Path:
    return sorted(folder.glob("*/*"), key=lambda path: (path.parent.name, path.name))[at]


@pytest.mark.parametrize("damage", DAMAGES)
@WORKERS
def test_a_bad_sample_is_named_and_iteration_goes_on(own_folder: Path, workers: int, damage: str) -> None:
    inflict, error, stage, number = DAMAGES[damage]
    victim = victim_of(own_folder, 5)
    with image_loader(own_folder, num_workers=workers, **PLAIN) as loader:
        good = values(loader)
        inflict(victim)
        loader.set_epoch(0)
        # What was prefetched of epoch 1 is thrown away, so the victim is read again.
        batches = iter(loader)
        seen = [value(next(batches))]
        with pytest.raises(error) as caught:
            next(batches)
        seen += map(value, batches)
        assert seen == [good[0], *good[2:]]
        stats = loader.stats()

    failure: Any = caught.value
    assert (failure.index, failure.key, failure.stage) == (5, str(victim), stage)
    assert failure.worker is None if workers == 0 else failure.worker in range(workers)
    assert failure.reason in str(failure)
    assert str(victim) in str(failure)
    assert "sample 5" in str(failure)
    if isinstance(failure, OSError):
        assert failure.errno == number
    assert stats["failed_samples"] >= 1
    assert {(entry["index"], entry["key"]) for entry in stats["quarantine"]} == {(5, str(victim))}


@pytest.mark.parametrize("kind", [".jpg", ".png", ".webp", ".JPEG"])
@pytest.mark.parametrize("damage", ["truncated", "garbled"])
def test_every_format_has_its_errors(own_folder: Path, kind: str, damage: str) -> None:
    victim = next(own_folder.glob(f"*/*{kind}"))
    DAMAGES[damage][0](victim)
    with image_loader(own_folder, num_workers=1, batch_size=1) as loader:
        batches = iter(loader)
        errors = []
        good = 0
        while True:
            try:
                next(batches)
                good += 1
            except StopIteration:
                break
            except sh.DecodeError as error:
                errors.append(error)
        assert [error.key for error in errors] == [str(victim)]
        assert good == 23


@pytest.mark.parametrize("policy", ["skip", "replace"])
def test_bad_samples_can_be_passed_over(own_folder: Path, policy: str) -> None:
    bad = {3, 4, 17}
    victims = [victim_of(own_folder, at) for at in bad]
    for victim in victims:
        halve(victim)
    expected = None
    for workers, threads in ((0, 1), (0, 2), (1, 1), (2, 1), (2, 2)):
        pool = {"num_workers": workers, "threads_per_worker": threads}
        with image_loader(own_folder, on_error=policy, drop_last=True, **pool) as loader:
            rows = values(loader, epochs=2)
            stats = loader.stats()
        assert [len(indices) for _, indices, _ in rows] == [5] * 8
        assert not bad & {index for _, indices, _ in rows for index in indices}
        expected = expected or rows
        assert rows == expected
        assert stats["failed_samples"] >= 2
        assert {entry["index"] for entry in stats["quarantine"]} <= bad
        assert {entry["key"] for entry in stats["quarantine"]} <= set(map(str, victims))
        assert {entry["stage"] for entry in stats["quarantine"]} == {"decode"}


def test_skip_takes_the_next_of_the_order(own_folder: Path) -> None:
    halve(victim_of(own_folder, 2))
    halve(victim_of(own_folder, 3))
    with image_loader(own_folder, on_error="skip", num_workers=1, **PLAIN) as loader:
        assert order(loader)[:6] == [0, 1, 4, 4, 4, 5]


@pytest.mark.parametrize("policy", ["raise", "skip", "replace"])
@WORKERS
def test_a_folder_of_bad_samples_raises(own_folder: Path, policy: str, workers: int) -> None:
    for path in own_folder.glob("*/*"):
        path.write_text("no image")
    with image_loader(own_folder, on_error=policy, num_workers=workers) as loader:
        batches = iter(loader)
        for _ in range(len(loader)):
            with pytest.raises(sh.DecodeError):
                next(batches)
        with pytest.raises(StopIteration):
            next(batches)
        stats = loader.stats()
        assert stats["failed_samples"] >= 24
        assert len(stats["quarantine"]) <= 100
        assert stats["restarts"] == 0


def nothing(root: Path) -> None:
    root.rmdir()


def a_file(root: Path) -> None:
    root.rmdir()
    root.write_text("")


def no_class_folders(root: Path) -> None:
    (root / "x.jpg").write_text("")


def a_class_without_images(root: Path) -> None:
    for name in "ab":
        (root / name).mkdir()
    (root / "a" / "x.jpg").write_text("")
    (root / "b" / "x.txt").write_text("")


FOLDERS: list[tuple[Callable[[Path], None], type[Exception], str]] = [
    (nothing, FileNotFoundError, "root"),
    (a_file, ValueError, "root"),
    (lambda _: None, ValueError, "class"),
    (no_class_folders, ValueError, "class"),
    (a_class_without_images, ValueError, "`?b`?"),
]


@pytest.mark.parametrize(("make", "error", "part"), FOLDERS)
@WORKERS
def test_a_folder_that_is_none_raises_at_construction(
    tmp_path: Path, make: Callable[[Path], None], error: type[Exception], part: str, workers: int
) -> None:
    root = tmp_path / "root"
    root.mkdir()
    make(root)
    with pytest.raises(error, match=part) as caught:
        image_loader(root, num_workers=workers)
    assert str(root) in str(caught.value)
    with pytest.raises(error, match=part):
        _ = sh.ImageFolder(root).classes


@WORKERS
def test_what_is_no_file_does_not_stop_the_listing(own_folder: Path, workers: int) -> None:
    os.mkfifo(own_folder / "ash" / "fifo.jpg")
    (own_folder / "ash" / "folder.jpg").mkdir()
    (own_folder / "ash" / "loop").symlink_to(own_folder)
    (own_folder / "ash" / "gone.png").symlink_to("nowhere")
    (own_folder / "README.md").write_text("not a class")
    with image_loader(own_folder, num_workers=workers, batch_size=1, shuffle=False) as loader:
        batches = iter(loader)
        good, failed = 0, []
        for _ in range(len(loader)):
            try:
                next(batches)
                good += 1
            except OSError as error:
                failed.append(Path(error.key).name)  # type: ignore[attr-defined]
        assert good == 24
        assert set(failed) <= {"fifo.jpg", "gone.png"}


@pytest.mark.parametrize("workers", [0, 1])
def test_names_may_be_any_bytes(own_folder: Path, workers: int) -> None:
    strange = os.fsencode(own_folder) + b"/\xff\xfe new\nline"
    os.mkdir(strange)  # noqa: PTH102  # Path takes no bytes.
    victim_of(own_folder, 0).rename(os.fsdecode(strange + b"/\xf0 \xc3\xa9.jpg"))
    with image_loader(own_folder, num_workers=workers) as loader:
        assert loader.samples == 24
        assert len(loader.classes) == 4
        assert sorted(order(loader)) == list(range(24))


@pytest.mark.parametrize("workers", [0, 1])
def test_the_root_may_be_any_bytes(own_folder: Path, workers: int) -> None:
    root = own_folder.rename(os.fsdecode(os.fsencode(own_folder) + b"-\xff"))
    with image_loader(root, num_workers=workers) as loader:
        assert sorted(order(loader)) == list(range(24))
