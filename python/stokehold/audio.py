"""Columns of audio: files, and the bytes of files."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from stokehold.checks import mapping, one_of, shown, whole
from stokehold.columns import Runs
from stokehold.encoded import _Encoded

__all__ = ["Audio", "Waveform", "waveforms"]

MAX_RATE = 768_000
MAX_CHANNELS = 64
MAX_SAMPLES = 2**31 - 1

Crop = Literal["start", "random"]


class _Described:
    """What audio files become."""

    def _describe(self, sample_rate: int, channels: int, samples: int | None, crop: Crop) -> None:
        owner = type(self).__name__
        self.sample_rate = whole(f"{owner}: sample_rate", sample_rate, 1, MAX_RATE)
        self.channels = whole(f"{owner}: channels", channels, 1, MAX_CHANNELS)
        self.samples = (
            None if samples is None else whole(f"{owner}: samples", samples, 1, MAX_SAMPLES, other=" or None")
        )
        allowed: Sequence[Crop] = ("start", "random")
        self.crop = one_of(f"{owner}: crop", crop, allowed)
        if self.crop == "random" and self.samples is None:
            raise ValueError(f'{owner}: crop="random" needs samples=, the length that a waveform is cropped to')

    def spec(self) -> dict[str, Any]:
        """Returns what the field is as plain data."""
        return {
            "kind": "audio",
            "sample_rate": self.sample_rate,
            "channels": self.channels,
            "samples": self.samples or 0,
            "random_crop": self.crop == "random",
        }


class Waveform(_Described):
    """Says how the audio files of a source become waveforms: those in tar shards, records and tables.

    The field is as that of an `Audio` column: ``float32`` of shape (samples,), or (samples, channels). A `Member` of a
    `WebDataset` and a `Feature` of a `TFRecord` take it in the place of what is taken of them; `Parquet`, `Arrow`,
    `HuggingFace` and `Mds` by the name of the field, as their ``audio``.

    Args:
        sample_rate: As for `Audio`, and likewise the others.
        channels: 1, the default, for the mean of all channels of a file; or the number that each file must have.
        samples: The length of every waveform; None, the default, for its own.
        crop: Which part of a longer waveform is kept, ``"start"`` (the default) or ``"random"``.

    Raises:
        TypeError: An argument is of another type.
        ValueError: An argument is out of range, or a random crop is asked for without `samples`.
    """

    def __init__(
        self, sample_rate: int, *, channels: int = 1, samples: int | None = None, crop: Crop = "start"
    ) -> None:
        self._describe(sample_rate, channels, samples, crop)

    def __repr__(self) -> str:
        given = {"channels": self.channels, "samples": self.samples, "crop": self.crop}
        return f"Waveform({self.sample_rate}, {', '.join(f'{name}={value!r}' for name, value in given.items())})"


def waveforms(owner: str, given: object) -> dict[str, Waveform]:
    """Returns the fields that are audio, as a source's argument ``audio`` has them."""
    found = mapping(f"{owner}: audio", {} if given is None else given, "a mapping of fields to Waveform, or None")
    for name, waveform in found.items():
        if not isinstance(waveform, Waveform):
            raise TypeError(f"{owner}: audio[{name!r}] must be a Waveform, not {shown(waveform)}")
    return found


class Audio(_Described, _Encoded):
    """A column of audio: files of WAV, FLAC, MP3 or Ogg Vorbis, or the bytes of such.

    Their field is a waveform, ``float32`` of shape (samples,), or (samples, channels) where `channels` is more than 1.
    Integers of a file become numbers from -1 to 1. Without `samples` every clip keeps its own length and the field is
    ragged: give the loader its ``capacity``, in samples. It takes `Spectrogram`,
    `MelSpectrogram` and what goes with these, and functions, which get its array.

    Files of another rate are resampled as ``torchaudio.functional.resample`` does with its defaults (a sinc of 6 zeros
    in a Hann window, and a roll-off of 0.99), with weights and sums of ``float64``, and equal bytes on every machine.

    A file is a bad sample where it is of another format, as Opus is, or damaged, cut off or empty; where it has another
    number of channels, or a rate over 768000; and where its samples need more than ``max_sample_bytes``, which is seen
    in the header if that says how long it is.

    Args:
        rows: For each sample a path, or the ``bytes`` of an audio file; all are paths, or none is. A relative path is
            looked up in the directory of now.
        sample_rate: Samples a second of the waveform, 1 to 768000.
        channels: 1, the default, for the mean of all channels of the file; or the number that each file must have, up
            to 64.
        samples: The length of every waveform, at `sample_rate`: shorter ones end in zeros, longer ones are cropped.
            ``None``, the default, keeps their own.
        crop: Which part of a longer waveform is kept: the ``"start"``, the default, or a ``"random"`` one, drawn by
            seed, epoch and sample. It needs `samples`.

    Raises:
        TypeError: A row is something else, or paths are mixed with bytes; or an argument is of another type.
        ValueError: An argument is out of range, or a random crop is asked for without `samples`.
    """

    def __init__(
        self,
        rows: Sequence[str | os.PathLike[str] | bytes | bytearray | memoryview] | Runs,
        sample_rate: int,
        *,
        channels: int = 1,
        samples: int | None = None,
        crop: Crop = "start",
    ) -> None:
        self._describe(sample_rate, channels, samples, crop)
        super().__init__(rows)

    def _add(self, name: str, row: object) -> None:
        if isinstance(row, np.ndarray):
            what = "a path or the bytes of an audio file"
            raise TypeError(
                f"{name} must be {what}, not {shown(row)}: waveforms in memory are Lists([...]) or an array"
            )
        super()._add(name, row)

    def _pixels(self, array: npt.NDArray[Any], row: str) -> npt.NDArray[Any]:
        raise TypeError(f"{row} is an array of shape {array.shape}, and no audio file")
