"""Tells tones apart: sound files of several rates become spectrograms of one.

    .venv/bin/python examples/audio.py

The files are made here.
"""

import tempfile
import wave
from pathlib import Path

import numpy as np

import stokehold as sh

NOTES = {"A4": 440.0, "C5": 523.25, "E5": 659.26}
RATE, SAMPLES, MELS = 8000, 4000, 64


def record(path: Path, pitch: float, rate: int, rng: np.random.Generator) -> None:
    """Writes about a second of a tone with its overtones, in stereo."""
    time = np.arange(int(rate * rng.uniform(0.7, 1.2))) / rate
    tone = np.sum([np.sin(2 * np.pi * pitch * n * time + rng.uniform(0, 6)) / n for n in (1, 2, 3)], axis=0)
    heard = 8000 * tone[:, None] + rng.normal(0, 2000, (len(time), 2))
    with wave.open(str(path), "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(heard.astype("<i2").tobytes())


def main() -> None:
    """Reads random half seconds of the files, and finds each one's note in its spectrogram."""
    rng = np.random.default_rng(0)
    names = list(NOTES)
    with tempfile.TemporaryDirectory() as folder:
        paths, labels = [], rng.integers(0, len(names), 60)
        for number, label in enumerate(labels):
            paths.append(Path(folder) / f"{number}.wav")
            record(paths[-1], NOTES[names[label]], int(rng.choice([16_000, 22_050, 44_100])), rng)
        audio = sh.Audio(paths, RATE, samples=SAMPLES, crop="random")
        spectra = [sh.MelSpectrogram(RATE, n_fft=1024, n_mels=MELS, f_max=1000.0), sh.AmplitudeToDB(top_db=80)]
        source = sh.Table({"audio": audio, "label": labels})
        right = seen = 0
        # Which filter hears a pitch best: they are spread evenly over mels.
        mels = [2595 * np.log10(1 + hertz / 700) for hertz in (*NOTES.values(), 1000.0)]
        filters = [round((MELS + 1) * pitch / mels[-1]) - 1 for pitch in mels[:-1]]
        steps = {"audio": spectra}
        with sh.Loader(source, transforms=steps, batch_size=16, shuffle=True, num_workers=2) as loader:
            for batch in loader:
                loudness = batch["audio"].mean(axis=1)
                found = loudness[:, filters].argmax(axis=1)
                right += int((found == batch["label"]).sum())
                seen += len(found)
        print(f"{right} of {seen} tones told apart, from spectrograms of shape {batch['audio'].shape[1:]} at {RATE} Hz")


if __name__ == "__main__":
    main()
