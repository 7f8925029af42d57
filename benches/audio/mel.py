"""Clips of FLAC to mel spectrograms in decibels: stokehold beside PyTorch's loader with soundfile and torchaudio.

    python benches/audio/mel.py --workers 2

Question: how many clips a second does a loader deliver as batches of spectrograms? Method: 10 s clips of 16 kHz, mono,
16 bits (a few tones that swell, over noise), 80 mels of frames of 400 samples every 160, in decibels; batches of 16,
shuffled, as tensors of PyTorch. Both give the same shape and, within `CLOSE` dB, the same numbers, which is checked.
PyTorch's workers have one thread each, as it sets it. Rounds take turns; the first of each is thrown away.

It needs torch, torchaudio and soundfile beside stokehold.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

RATE, SECONDS, MELS, BATCH = 16_000, 10, 80, 16
CLOSE = 1e-2
FRAME: dict[str, Any] = {"n_fft": 400, "hop_length": 160, "n_mels": MELS}


def write(folder: Path, count: int) -> list[Path]:
    """Writes the clips."""
    import soundfile

    rng = np.random.default_rng(0)
    time_ = np.arange(RATE * SECONDS) / RATE
    paths = []
    for number in range(count):
        pitches = rng.uniform(80, 3000, 5)
        tones = sum(np.sin(2 * np.pi * pitch * time_) / (1 + at) for at, pitch in enumerate(pitches))
        loud = np.abs(np.sin(2 * np.pi * rng.uniform(0.5, 3) * time_))
        paths.append(folder / f"{number}.flac")
        soundfile.write(paths[-1], 0.1 * tones * loud + rng.normal(0, 0.003, len(time_)), RATE, subtype="PCM_16")
    return paths


def by_stokehold(paths: list[Path], workers: int) -> Iterator[Any]:
    """Iterates over a table of the files."""
    import stokehold as sh

    audio = sh.Audio(paths, RATE, samples=RATE * SECONDS)
    steps = [sh.MelSpectrogram(RATE, **FRAME), sh.AmplitudeToDB()]
    source = sh.Table({"audio": audio, "index": np.arange(len(paths))})
    options: dict[str, Any] = {"batch_size": BATCH, "shuffle": True, "num_workers": workers, "output": "torch"}
    with sh.Loader(source, transforms={"audio": steps}, **options) as loader:
        while True:
            for batch in loader:
                yield batch["audio"], batch["index"]


def by_torch(paths: list[Path], workers: int) -> Iterator[Any]:
    """Iterates over a dataset that decodes by libsndfile and computes by torchaudio."""
    import soundfile
    import torch
    import torchaudio
    from torch.utils.data import DataLoader

    class Clips:
        """The clips."""

        def __init__(self) -> None:
            self.mel = torchaudio.transforms.MelSpectrogram(RATE, **FRAME)
            self.decibels = torchaudio.transforms.AmplitudeToDB()

        def __len__(self) -> int:
            return len(paths)

        def __getitem__(self, index: int) -> Any:
            wave, _ = soundfile.read(paths[index], dtype="float32")
            return self.decibels(self.mel(torch.from_numpy(wave))).T, index

    options: dict[str, Any] = {"batch_size": BATCH, "shuffle": True, "num_workers": workers}
    loader: Any = DataLoader(Clips(), persistent_workers=workers > 0, **options)
    while True:
        yield from loader


def check(paths: list[Path]) -> None:
    """Sees that both give the same numbers."""
    found = []
    for make in (by_stokehold, by_torch):
        spectrograms, indices = next(make(paths[:BATCH], 0))
        order = np.argsort(np.asarray(indices))
        found.append(np.asarray(spectrograms)[order])
    if found[0].shape != found[1].shape or np.abs(found[0] - found[1]).max() > CLOSE:
        raise SystemExit("the spectrograms differ")


def main() -> None:
    """Prints what each delivers."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--clips", type=int, default=2048)
    parser.add_argument("--rounds", type=int, default=4)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        paths = write(Path(folder), given.clips)
        check(paths)
        ways = {"stokehold": by_stokehold, "torch": by_torch}
        running = {name: make(paths, given.workers) for name, make in ways.items()}
        rates: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(given.rounds):
            for name, batches in running.items():
                begun = time.perf_counter()
                for _ in range(given.clips // BATCH):
                    next(batches)
                rates[name].append(given.clips // BATCH * BATCH / (time.perf_counter() - begun))
        for name, each in rates.items():
            steady = each[1:]
            print(
                f"{name}: {statistics.median(steady):.0f} clips/s "
                f"({min(steady):.0f}-{max(steady):.0f}), {given.workers} workers"
            )
        of_each = [ours / theirs for ours, theirs in zip(rates["stokehold"][1:], rates["torch"][1:], strict=True)]
        print(f"ratio: {statistics.median(of_each):.2f} ({min(of_each):.2f}-{max(of_each):.2f})")


if __name__ == "__main__":
    main()
