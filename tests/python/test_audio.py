"""Audio: decoded, mixed, resampled, cut and padded, and refused where it cannot be what it says."""

from __future__ import annotations

import io
import math
import struct
import subprocess
import sys
import wave
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import stokehold as sh
from support import PROGRAM_SECONDS

WORKERS = pytest.mark.parametrize("workers", [0, 1, 2])
DATA = Path(__file__).parent.parent / "data" / "audio"
RATE = 16_000
CLIP = 4000


def tone() -> npt.NDArray[np.int16]:
    """What the files in `DATA` were made of."""
    t = np.arange(CLIP) / RATE
    return np.round(12_000 * np.sin(2 * np.pi * (300 + 2000 * t) * t)).astype(np.int16)


def wav(samples: npt.NDArray[np.int16], rate: int = RATE) -> bytes:
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(1 if samples.ndim == 1 else samples.shape[1])
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(samples.astype("<i2").tobytes())
    return out.getvalue()


def noise(count: int, channels: int = 1, seed: int = 0) -> npt.NDArray[np.int16]:
    shape = (count,) if channels == 1 else (count, channels)
    return np.random.default_rng(seed).integers(-20_000, 20_000, shape).astype(np.int16)


def loaded(column: sh.Audio, workers: int = 0, **options: Any) -> list[npt.NDArray[np.float32]]:
    """The waveforms of a column, a batch for each."""
    if column.samples is None:
        options.setdefault("capacity", {"audio": 100_000})
    with sh.Loader(sh.Table({"audio": column}), batch_size=1, num_workers=workers, **options) as loader:
        return [np.array(batch["audio"][0]) for batch in loader]


def resampled(samples: npt.NDArray[np.floating[Any]], rate: int, to: int) -> npt.NDArray[np.float64]:
    """torchaudio's resampling with its defaults, from its formulas: a kernel for each phase, over padded samples."""
    divisor = math.gcd(rate, to)
    rate, to = rate // divisor, to // divisor
    base = min(rate, to) * 0.99
    width = math.ceil(6 * rate / base)
    places = np.arange(-width, width + rate) / rate
    t = np.clip((-np.arange(to)[:, None] / to + places) * base, -6, 6)
    kernels = np.sinc(t) * np.cos(t * np.pi / 12) ** 2 * base / rate
    padded = np.pad(samples.astype(np.float64), (width, width + rate))
    starts = range(0, len(padded) - kernels.shape[1] + 1, rate)
    made = np.concatenate([kernels @ padded[start : start + kernels.shape[1]] for start in starts])
    return made[: math.ceil(to * len(samples) / rate)]


@WORKERS
def test_lossless_files_give_their_samples(workers: int) -> None:
    files = [wav(tone()), (DATA / "tone.flac").read_bytes(), wav(noise(777))]
    expected = [tone(), tone(), noise(777)]
    for found, samples in zip(loaded(sh.Audio(files, RATE), workers), expected, strict=True):
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, samples.astype(np.float32) / 32_768)


@pytest.mark.parametrize("suffix", ["mp3", "ogg"])
def test_lossy_files_are_decoded_as_by_libsndfile(suffix: str) -> None:
    (found,) = loaded(sh.Audio([DATA / f"tone.{suffix}"], RATE))
    expected = np.load(DATA / f"tone_{suffix}.npy")
    assert found.shape == expected.shape
    # Either sums some thousand float32 products below 1 in an order of its own: the error stays below 2**10 roundings
    # of 2**-24. A decoder that is off by one step of quantisation anywhere is off by far more.
    assert np.abs(found - expected).max() < 2**-14


def test_channels_are_mixed_or_kept() -> None:
    stereo = noise(500, 2)
    scaled = stereo.astype(np.float32) / 32_768
    (mono,) = loaded(sh.Audio([wav(stereo)], RATE))
    np.testing.assert_array_equal(mono, (scaled[:, 0] + scaled[:, 1]) / 2)
    (kept,) = loaded(sh.Audio([wav(stereo)], RATE, channels=2))
    np.testing.assert_array_equal(kept, scaled)
    with pytest.raises(sh.DecodeError, match="it has 1 channels, and channels=2"):
        loaded(sh.Audio([wav(noise(500))], RATE, channels=2))


@pytest.mark.parametrize(("rate", "to"), [(44_100, 16_000), (8000, 16_000), (16_000, 11_025), (48_000, 16_000), (7, 5)])
@pytest.mark.parametrize("count", [1, 50, 3001])
def test_rates_are_changed_by_the_formulas_of_torchaudio(rate: int, to: int, count: int) -> None:
    samples = noise(count)
    (found,) = loaded(sh.Audio([wav(samples, rate)], to))
    expected = resampled(samples.astype(np.float32) / 32_768, rate, to)
    assert len(found) == len(expected)
    # Both sum in float64; what is left is the rounding to float32 of numbers below 2, at most 2**-24. Twice that is
    # allowed, so that the order of the sums in float64 never counts.
    np.testing.assert_allclose(found, expected, rtol=0, atol=2**-23)


def test_rates_are_changed_as_by_torchaudio() -> None:
    torch = pytest.importorskip("torch")
    functional = pytest.importorskip("torchaudio.functional")
    samples = noise(3001)
    (found,) = loaded(sh.Audio([wav(samples, 44_100)], 16_000))
    expected = functional.resample(torch.from_numpy(samples.astype(np.float32) / 32_768), 44_100, 16_000).numpy()
    # Its kernel's angles are float32, up to 6 pi: off by 2**-20 each, in sums of weights of which the sizes add up to
    # less than 4.
    np.testing.assert_allclose(found, expected, rtol=0, atol=2**-17)


@WORKERS
def test_waveforms_of_one_length_are_cut_and_padded(workers: int) -> None:
    clips = [noise(300), noise(1000, seed=1)]
    short, long = loaded(sh.Audio([wav(clip) for clip in clips], RATE, samples=400), workers)
    np.testing.assert_array_equal(short[:300], clips[0].astype(np.float32) / 32_768)
    assert not short[300:].any()
    np.testing.assert_array_equal(long, clips[1][:400].astype(np.float32) / 32_768)


def test_a_random_part_is_of_the_seed_the_epoch_and_the_sample() -> None:
    whole = np.arange(2000).astype(np.int16)
    column = sh.Audio([wav(whole)] * 20, RATE, samples=100, crop="random")
    found = [loaded(column, workers, seed=3) for workers in (0, 1, 2)]
    for other in found[1:]:
        np.testing.assert_array_equal(found[0], other)
    starts = {int(clip[0] * 32_768) for clip in found[0]}
    assert len(starts) > 10
    assert all((np.diff(clip * 32_768) == 1).all() for clip in found[0])
    assert not np.array_equal(found[0], loaded(column, seed=4))


def hostile() -> dict[str, tuple[bytes, str]]:
    file = wav(noise(1000))

    def patched(at: int, number: int, width: int = 4) -> bytes:
        return file[:at] + number.to_bytes(width, "little") + file[at + width :]

    return {
        "cut": (file[:1000], "WAV"),
        "cut flac": ((DATA / "tone.flac").read_bytes()[:2000], "FLAC"),
        "empty": (wav(noise(0)), "it holds no samples"),
        "no rate": (patched(24, 0), "WAV"),
        "giant rate": (patched(24, 2**32 - 1), "4294967295 samples a second"),
        "no channels": (patched(22, 0, 2), "WAV"),
        "giant length": (patched(40, 2**31), "WAV"),
        "opus": ((DATA / "tone.opus").read_bytes(), "Opus cannot be decoded: convert"),
        "text": (b"no audio at all", "it is no audio file"),
    }


@pytest.mark.parametrize("name", hostile())
def test_what_cannot_be_decoded_names_its_sample(name: str) -> None:
    content, reason = hostile()[name]
    with pytest.raises(sh.DecodeError, match=reason) as raised:
        loaded(sh.Audio([wav(noise(10)), content], RATE), on_error="raise")
    assert raised.value.index == 1
    assert "sample 1" in str(raised.value)


def test_memory_is_bounded_by_the_budget() -> None:
    with pytest.raises(sh.DecodeError, match="max_sample_bytes"):
        loaded(sh.Audio([wav(noise(100_000))], RATE), max_sample_bytes=400_000)
    # Rates that have nothing in common need a table of weights.
    with pytest.raises(sh.DecodeError, match="resampling needs"):
        loaded(sh.Audio([wav(noise(10), 44_101)], 44_100), max_sample_bytes=1 << 20)


def test_clips_over_their_room_are_told_what_to_raise() -> None:
    with pytest.raises(sh.DecodeError, match="needs room for 500 entries"):
        loaded(sh.Audio([wav(noise(500))], RATE), capacity={"audio": 400})
    with pytest.raises(ValueError, match="keep their own lengths"):
        sh.Loader(sh.Table({"audio": sh.Audio([wav(noise(5))], RATE)}), batch_size=1, num_workers=0)


@pytest.mark.parametrize(
    ("options", "kind", "says"),
    [
        ({"sample_rate": 0}, ValueError, "Audio: sample_rate must be 1 to 768000, not 0"),
        ({"sample_rate": "16k"}, TypeError, "Audio: sample_rate must be an integer"),
        ({"sample_rate": RATE, "channels": 0}, ValueError, "Audio: channels must be 1 to 64, not 0"),
        ({"sample_rate": RATE, "samples": 0}, ValueError, "Audio: samples must be"),
        ({"sample_rate": RATE, "samples": 9, "crop": "end"}, ValueError, "Audio: crop must be"),
        ({"sample_rate": RATE, "crop": "random"}, ValueError, "needs samples="),
    ],
)
def test_wrong_arguments_are_named(options: dict[str, Any], kind: type[Exception], says: str) -> None:
    with pytest.raises(kind, match=says):
        sh.Audio(["a.wav"], **options)
    with pytest.raises(TypeError, match="Audio: row 0 must be a path or the bytes of an audio file"):
        sh.Audio([np.zeros(5, np.float32)], RATE)  # type: ignore[list-item]


def bits(*numbers: tuple[int, int]) -> bytes:
    """Numbers of so many bits each, from the lowest one of each byte on."""
    value = place = 0
    for number, width in numbers:
        value |= number << place
        place += width
    return value.to_bytes((place + 7) // 8, "little")


def ogg(*packets: bytes) -> bytes:
    """A page for each packet of less than 255 * 255 bytes."""
    pages = b""
    for number, packet in enumerate(packets):
        sizes = bytes([255] * (len(packet) // 255) + [len(packet) % 255])
        flags = {0: 2, len(packets) - 1: 4}.get(number, 0)
        head = struct.pack("<4sBBqIII", b"OggS", 0, flags, 0, 7, number, 0) + bytes([len(sizes)]) + sizes
        checksum = 0
        for byte in head + packet:
            checksum ^= byte << 24
            for _ in range(8):
                checksum = (checksum << 1) ^ (0x104C11DB7 if checksum >> 31 else 0)
        pages += head[:22] + struct.pack("<I", checksum) + head[26:] + packet
    return pages


IDENTIFICATION = struct.pack("<7sIBIiiiBB", b"\x01vorbis", 0, 1, RATE, 0, 0, 0, 0xB8, 1)
COMMENTS = b"\x03vorbis" + struct.pack("<II", 0, 0) + b"\1"
ENTRIES = (1 << 24) - 1


def setup(dimensions: int) -> bytes:
    """One codebook, of as many words of 24 bits as there may be, and as little of all else."""
    words = [(0x564342, 24), (dimensions, 16), (ENTRIES, 24), (1, 1), (22, 5), (1, 24), (ENTRIES - 1, 24)]
    lookup = [(1, 4), (0, 32), (0, 32), (7, 4), (0, 1), (1, 8), (2, 8)]
    times, floors = [(0, 6), (0, 16)], [(0, 6), (1, 16), (0, 5), (0, 2), (0, 4)]
    residues = [(0, 6), (0, 16), (0, 24), (0, 24), (0, 24), (0, 6), (0, 8), (0, 4)]
    mappings, modes = [(0, 6), (0, 16), (0, 4), (0, 24)], [(0, 6), (0, 1), (0, 32), (0, 8)]
    return b"\x05vorbis\0" + bits(*words, *lookup, *times, *floors, *residues, *mappings, *modes, (1, 1))


def greedy() -> dict[str, bytes]:
    """Small files whose headers say that something in them takes gigabytes."""
    flac = (DATA / "tone.flac").read_bytes()
    info, samples = flac[4:42], flac[42:]
    assert info[:4] == b"\0\0\0\x22"
    comment = struct.pack("<III", 0, 1, 2**32 - 1)
    picture = struct.pack(">II", 3, 2**32 - 1)
    file = wav(noise(100))
    note = struct.pack("<4sI4s4sI", b"LIST", 2**32 - 128, b"INFO", b"INAM", 2**32 - 256)
    return {
        "codebook": ogg(IDENTIFICATION, COMMENTS, setup(23), b"\0\0"),
        "comment": ogg(IDENTIFICATION, b"\x03vorbis" + comment, setup(1), b"\0\0"),
        "flac comment": b"fLaC" + info + b"\4\0\0\x0c" + comment + samples,
        "flac picture": b"fLaC" + info + b"\6\0\0\x08" + picture + samples,
        "wav note": b"RIFF" + b"\xff" * 4 + file[8:36] + note + file[36:],
    }


@pytest.mark.parametrize("name", greedy())
def test_no_header_makes_a_decoder_take_gigabytes(tmp_path: Path, name: str) -> None:
    (tmp_path / "x").write_bytes(greedy()[name])
    code = (
        "import resource, sys, stokehold as sh\n"
        f"source = sh.Table({{'audio': sh.Audio([sys.argv[1]], {RATE})}})\n"
        "loader = sh.Loader(source, batch_size=1, num_workers=0, capacity={'audio': 9000}, max_sample_bytes='64MiB')\n"
        "mapped = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize()\n"
        "resource.setrlimit(resource.RLIMIT_AS, (mapped + (256 << 20),) * 2)\n"
        "try: print(len(next(iter(loader))['audio']))\n"
        "except sh.DecodeError as error: print(error)\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "x")]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=PROGRAM_SECONDS, check=False)
    assert ended.returncode == 0, ended.stderr
    assert "cannot decode sample 0" in ended.stdout or ended.stdout == "1\n"
