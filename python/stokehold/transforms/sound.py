"""Transforms of sound, under torchaudio's names."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from stokehold.transforms.base import Transform

__all__ = [
    "AmplitudeToDB",
    "FrequencyMasking",
    "MelSpectrogram",
    "Spectrogram",
    "TimeMasking",
]


@dataclass(frozen=True)
class Spectrogram(Transform):
    """Makes a spectrogram of a waveform, as ``torchaudio.transforms.Spectrogram``.

    Takes a field of `Audio`, (samples,) or (samples, channels), and gives ``float32`` of shape (frames, n_fft // 2 +
    1), with the channels as a third axis where there are several: the transpose of torchaudio's. Frames are as many as
    torchaudio's, and where the column has ``samples`` they are the same for all; else the field is ragged in the
    frames, and the loader's ``capacity`` counts these. The window is Hann's, periodic. Sums are in ``float64`` and
    rounded once, so that the result is nearer to the true one than ``float32`` arithmetic is, with equal bytes on every
    machine.

    Args:
        n_fft: The samples of a frame, 1 to 65536; 400 by default. Lengths whose prime factors are small are fast.
        win_length: The samples of the window, at most `n_fft`, in whose middle it stands; `n_fft` by default.
        hop_length: The samples from one frame to the next; half of `win_length` by default.
        pad: The samples of silence on each side, 0 by default.
        power: The power of the magnitudes, above 0: 1.0 for magnitudes, 2.0 (the default) for their squares. Complex
            numbers, torchaudio's None, are not made.
        normalized: What is divided by: nothing (False, the default), the root of the sum of the window's squares (True
            or ``"window"``), or the root of `n_fft` (``"frame_length"``).
        center: Whether the first sample is the middle of the first frame, True by default; else it is its first.
        pad_mode: What half a frame beyond the ends is where `center` is True: ``"reflect"`` (the default), which is the
            waveform mirrored; ``"constant"``, silence; or ``"replicate"``, the end itself.

    Raises:
        ValueError: An argument out of range. A waveform that is too short for a frame, or to be mirrored, is a bad
            sample, or an error of the loader where all have that length.
    """

    n_fft: int = 400
    win_length: int | None = None
    hop_length: int | None = None
    pad: int = 0
    power: float = 2.0
    normalized: bool | Literal["window", "frame_length"] = False
    center: bool = True
    pad_mode: Literal["reflect", "constant", "replicate"] = "reflect"


@dataclass(frozen=True)
class MelSpectrogram(Transform):
    """Makes a spectrogram on a mel scale, as ``torchaudio.transforms.MelSpectrogram``.

    Takes a field of `Audio`, (samples,) or (samples, channels), and gives ``float32`` of shape (frames, n_mels), with
    the channels as a third axis where there are several: the transpose of torchaudio's. All else is as for
    `Spectrogram`. Filters are triangles on the mel scale, those of ``torchaudio.functional.melscale_fbanks``. One that
    lies between two frequencies of a frame is 0: torchaudio warns of such, which too many filters for an `n_fft` make.

    Args:
        sample_rate: Samples a second, 16000 by default; it must be that of the `Audio` column.
        n_fft: As for `Spectrogram`.
        win_length: As for `Spectrogram`.
        hop_length: As for `Spectrogram`.
        f_min: The lowest frequency in hertz, 0.0 by default.
        f_max: The highest frequency in hertz; half of `sample_rate` by default.
        pad: As for `Spectrogram`.
        n_mels: How many filters there are, 1 to 65536; 128 by default.
        power: As for `Spectrogram`.
        normalized: As for `Spectrogram`.
        center: As for `Spectrogram`.
        pad_mode: As for `Spectrogram`.
        norm: ``"slaney"`` for filters of the same area, None (the default) for filters of the same height.
        mel_scale: ``"htk"`` (the default), 2595 log10(1 + f / 700); or ``"slaney"``, linear below 1000 Hz and
            logarithmic above.

    Raises:
        ValueError: An argument out of range, or an `f_min` that is not below `f_max`; by the loader, a `sample_rate`
            that is not that of the waveform.
    """

    sample_rate: int = 16_000
    n_fft: int = 400
    win_length: int | None = None
    hop_length: int | None = None
    f_min: float = 0.0
    f_max: float | None = None
    pad: int = 0
    n_mels: int = 128
    power: float = 2.0
    normalized: bool | Literal["window", "frame_length"] = False
    center: bool = True
    pad_mode: Literal["reflect", "constant", "replicate"] = "reflect"
    norm: Literal["slaney"] | None = None
    mel_scale: Literal["htk", "slaney"] = "htk"


@dataclass(frozen=True)
class AmplitudeToDB(Transform):
    """Turns a spectrogram to decibels, as ``torchaudio.transforms.AmplitudeToDB``.

    Takes what `Spectrogram` or `MelSpectrogram` makes and keeps its shape. A value x becomes 10 log10(max(x, 1e-10)),
    or 20 log10 of it for magnitudes.

    Args:
        stype: What the values are: ``"power"`` (the default), squares of magnitudes, or ``"magnitude"``.
        top_db: How far below the sample's greatest value others may lie, in decibels, 0 or more; smaller ones are
            raised to that. None, the default, leaves them.

    Raises:
        ValueError: Another word, or a negative `top_db`.
    """

    stype: Literal["power", "magnitude"] = "power"
    top_db: float | None = None


@dataclass(frozen=True)
class TimeMasking(Transform):
    """Sets frames of a spectrogram that follow each other to 0, as ``torchaudio.transforms.TimeMasking`` (SpecAugment).

    Takes what `Spectrogram` or `MelSpectrogram` makes, or `AmplitudeToDB` of that, and keeps its shape. How many frames
    is drawn for each sample from 0 to `time_mask_param`, that excluded, and then where they begin.

    Args:
        time_mask_param: The bound of the frames.
        iid_masks: Whether each channel has a mask of its own, False by default. Samples always have.
        p: The largest part of a sample's frames that may be masked, 0 to 1; 1.0 by default.

    Raises:
        ValueError: A `p` that is not 0 to 1, or a negative bound.
    """

    time_mask_param: int
    iid_masks: bool = False
    p: float = 1.0


@dataclass(frozen=True)
class FrequencyMasking(Transform):
    """Sets frequencies of a spectrogram to 0, as ``torchaudio.transforms.FrequencyMasking`` (SpecAugment).

    They follow each other. All else is as for `TimeMasking`.

    Args:
        freq_mask_param: The bound of the frequencies.
        iid_masks: Whether each channel has a mask of its own, False by default. Samples always have.

    Raises:
        ValueError: A negative bound.
    """

    freq_mask_param: int
    iid_masks: bool = False
