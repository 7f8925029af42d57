"""Spectrograms of audio: torchaudio's numbers, masks, shapes, and what cannot be one."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import stokehold as sh
from test_audio import RATE, noise, wav

Floats = npt.NDArray[Any]

CAPACITY = 100_000


def made(clips: list[npt.NDArray[np.int16]], *steps: Any, workers: int = 0, **options: Any) -> list[Floats]:
    """What becomes of clips, a batch for each."""
    rate, channels, samples = (
        options.pop(name, other) for name, other in (("rate", RATE), ("channels", 1), ("samples", None))
    )
    column = sh.Audio([wav(clip, rate) for clip in clips], rate, channels=channels, samples=samples)
    if samples is None:
        options.setdefault("capacity", {"audio": CAPACITY})
    table = sh.Table({"audio": column})
    with sh.Loader(table, batch_size=1, num_workers=workers, transforms={"audio": list(steps)}, **options) as loader:
        return [np.array(batch["audio"][0]) for batch in loader]


def scaled(clip: npt.NDArray[np.int16]) -> npt.NDArray[np.float64]:
    return clip.astype(np.float64) / 32_768


def spectrogram(
    wave: Floats,
    *,
    n_fft: int = 400,
    win_length: int | None = None,
    hop_length: int | None = None,
    pad: int = 0,
    power: float = 2.0,
    normalized: bool | str = False,
    center: bool = True,
    pad_mode: Any = "reflect",
) -> Floats:
    """torchaudio's spectrogram, from its formulas, in float64: frames by frequencies."""
    size = n_fft if win_length is None else win_length
    hop = size // 2 if hop_length is None else hop_length
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(size) / size)
    before = (n_fft - size) // 2
    framed = np.pad(window, (before, n_fft - size - before))
    wave = np.pad(wave, pad)
    if center:
        wave = np.pad(wave, n_fft // 2, mode={"replicate": "edge"}.get(pad_mode, pad_mode))
    frames = np.lib.stride_tricks.sliding_window_view(wave, n_fft)[::hop]
    spectrum = np.fft.rfft(frames * framed)
    if normalized == "frame_length":
        spectrum /= np.sqrt(n_fft)
    elif normalized:
        spectrum /= np.sqrt((window**2).sum())
    powers: Floats = np.abs(spectrum) ** power
    return powers


def filters(
    n_freqs: int, band: tuple[float, float], n_mels: int, rate: int, *, norm: str | None, mel_scale: str
) -> Floats:
    """torchaudio's filters, from its formulas, in float64: frequencies by filters."""
    step = np.log(6.4) / 27

    def mels(hertz: float) -> float:
        if mel_scale == "htk":
            return float(2595 * np.log10(1 + hertz / 700))
        return float(15 + np.log(hertz / 1000) / step if hertz >= 1000 else 3 * hertz / 200)

    def hertz(mels: Floats) -> Floats:
        if mel_scale == "htk":
            return np.asarray(700 * (10 ** (mels / 2595) - 1))
        return np.where(mels >= 15, 1000 * np.exp(step * (mels - 15)), 200 * mels / 3)

    corners = hertz(np.linspace(mels(band[0]), mels(band[1]), n_mels + 2))
    slopes = corners[None] - np.linspace(0, rate // 2, n_freqs)[:, None]
    widths = np.diff(corners)
    bank = np.maximum(0, np.minimum(-slopes[:, :-2] / widths[:-1], slopes[:, 2:] / widths[1:]))
    if norm == "slaney":
        bank = bank * 2 / (corners[2:] - corners[:-2])
    return np.asarray(bank)


SPECTROGRAMS: list[dict[str, Any]] = [
    {},
    {"n_fft": 512, "win_length": 400, "hop_length": 160},
    {"n_fft": 401, "win_length": 300, "hop_length": 77},
    {"n_fft": 1103},
    {"n_fft": 7, "hop_length": 3},
    {"n_fft": 2, "hop_length": 1},
    {"n_fft": 1024, "power": 1.0},
    {"power": 0.7},
    {"normalized": True, "win_length": 100},
    {"normalized": "window"},
    {"normalized": "frame_length"},
    {"center": False},
    {"pad": 33, "pad_mode": "constant"},
    {"pad": 33},
    {"pad_mode": "replicate"},
]

MELS: list[dict[str, Any]] = [
    {"n_mels": 80},
    {"n_mels": 40, "norm": "slaney", "mel_scale": "slaney"},
    {"n_mels": 23, "n_fft": 512, "win_length": 400, "hop_length": 160, "norm": "slaney", "power": 1.0},
    {"n_mels": 64, "f_min": 300.0, "f_max": 7000.0, "mel_scale": "slaney", "n_fft": 1024},
    {"n_mels": 20, "f_min": 20.0, "normalized": True},
]


@pytest.mark.parametrize("count", [1500, 3001])
@pytest.mark.parametrize("options", SPECTROGRAMS)
def test_spectrograms_have_the_formulas_of_torchaudio(options: dict[str, Any], count: int) -> None:
    clip = noise(count)
    (found,) = made([clip], sh.Spectrogram(**options))
    expected = spectrogram(scaled(clip), **options)
    assert found.dtype == np.float32
    assert found.shape == expected.shape
    # Ours is rounded once, to float32; sums of float64 are off by less than 2^-40 of the frame's largest value.
    np.testing.assert_allclose(found, expected, rtol=2**-23, atol=2**-40 * expected.max())


@pytest.mark.parametrize("options", MELS)
@pytest.mark.parametrize("rate", [16_000, 22_051])
def test_mel_spectrograms_have_the_formulas_of_torchaudio(options: dict[str, Any], rate: int) -> None:
    clip = noise(3001)
    (found,) = made([clip], sh.MelSpectrogram(rate, **options), rate=rate)
    given = dict(options)
    band = given.pop("f_min", 0.0), given.pop("f_max", float(rate // 2))
    n_mels, norm, scale = given.pop("n_mels"), given.pop("norm", None), given.pop("mel_scale", "htk")
    powers = spectrogram(scaled(clip), **given)
    expected = powers @ filters(powers.shape[1], band, n_mels, rate, norm=norm, mel_scale=scale)
    assert found.dtype == np.float32
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=2**-22, atol=2**-40 * expected.max())


@pytest.fixture(scope="module")
def torchaudio() -> Any:
    """torchaudio, its threads started."""
    torch = pytest.importorskip("torch")
    module = pytest.importorskip("torchaudio")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        module.transforms.MelSpectrogram()(torch.ones(200_000))
    return module


def theirs(torchaudio: Any, clip: npt.NDArray[np.int16], *names: tuple[str, dict[str, Any]]) -> Floats:
    torch = pytest.importorskip("torch")
    tensor = torch.from_numpy(clip.astype(np.float32) / 32_768)
    for name, options in names:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Filters that are zero.
            tensor = getattr(torchaudio.transforms, name)(**options)(tensor)
    found: Floats = tensor.numpy().T
    return found


@pytest.mark.parametrize(
    ("name", "options"),
    [*(("Spectrogram", each) for each in SPECTROGRAMS), *(("MelSpectrogram", each) for each in MELS)],
)
def test_spectrograms_are_those_of_torchaudio(torchaudio: Any, name: str, options: dict[str, Any]) -> None:
    clip = noise(3001)
    (found,) = made([clip], getattr(sh, name)(**options))
    expected = theirs(torchaudio, clip, (name, options))
    assert found.shape == expected.shape
    # Its float32 sums of squares of some hundred terms are off by some 2^-20 of the largest value, and its corners of
    # filters, differences of mels in float32, by some 2^-14 of a filter's width.
    np.testing.assert_allclose(found, expected, rtol=2**-10, atol=2**-17 * expected.max())


@pytest.mark.parametrize(
    "options", [{}, {"top_db": 20.0}, {"stype": "magnitude"}, {"stype": "magnitude", "top_db": 0.0}]
)
def test_decibels_have_the_formula_of_torchaudio(options: dict[str, Any]) -> None:
    clip = noise(2000)
    clip[:900] = 0
    mel = sh.MelSpectrogram(n_mels=30)
    (powers,), (found,) = made([clip], mel), made([clip], mel, sh.AmplitudeToDB(**options))
    factor = 20 if options.get("stype") == "magnitude" else 10
    expected = factor * np.log10(np.maximum(powers.astype(np.float64), 1e-10))
    assert expected.min() == -10 * factor
    if "top_db" in options:
        expected = np.maximum(expected, expected.max() - options["top_db"])
    # Numbers up to 200, rounded to float32 once, or twice where the greatest is rounded before.
    np.testing.assert_allclose(found, expected, rtol=0, atol=2**-15)


def test_decibels_are_those_of_torchaudio(torchaudio: Any) -> None:
    clip = noise(3001)
    steps: list[tuple[str, dict[str, Any]]] = [("MelSpectrogram", {"n_mels": 30}), ("AmplitudeToDB", {"top_db": 15.0})]
    (found,) = made([clip], *(getattr(sh, name)(**options) for name, options in steps))
    np.testing.assert_allclose(found, theirs(torchaudio, clip, *steps), rtol=0, atol=1e-3)


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_bytes_are_the_same_with_any_number_of_workers(workers: int) -> None:
    clips = [noise(1000 + 313 * number, 2, seed=number) for number in range(6)]
    steps = [
        sh.MelSpectrogram(n_mels=20),
        sh.TimeMasking(4, iid_masks=True),
        sh.FrequencyMasking(6),
        sh.AmplitudeToDB(),
    ]
    options: dict[str, Any] = {"channels": 2, "seed": 5}
    alone, others = made(clips, *steps, **options), made(clips, *steps, workers=workers, **options)
    for one, other in zip(alone, others, strict=True):
        np.testing.assert_array_equal(one, other)


def test_channels_are_the_last_axis() -> None:
    clip = noise(2000, 2)
    step = sh.Spectrogram(n_fft=64)
    (both,) = made([clip], step, channels=2)
    for channel in range(2):
        (one,) = made([np.ascontiguousarray(clip[:, channel])], step)
        np.testing.assert_array_equal(both[:, :, channel], one)


@pytest.mark.parametrize("channels", [1, 2])
def test_waveforms_of_one_length_have_spectrograms_of_one_shape(channels: int) -> None:
    clips = [noise(count, channels) for count in (900, 4000)]
    column = sh.Audio([wav(clip) for clip in clips], RATE, channels=channels, samples=2000)
    transforms = {"audio": [sh.MelSpectrogram(n_mels=16), sh.AmplitudeToDB()]}
    with sh.Loader(sh.Table({"audio": column}), batch_size=2, num_workers=0, transforms=transforms) as loader:
        (batch,) = loader
        assert batch["audio"].shape == (2, 11, 16, 2)[: 2 + channels]
        for row, clip in zip(batch["audio"], clips, strict=True):
            whole = np.zeros((2000, *clip.shape[1:]), np.int16)
            whole[: len(clip[:2000])] = clip[:2000]
            (alone,) = made([whole], *transforms["audio"], channels=channels)
            np.testing.assert_array_equal(row, alone)


def test_masks_are_drawn_for_each_sample_and_epoch() -> None:
    clips = [noise(3000)] * 30
    steps = [sh.Spectrogram(n_fft=64), sh.TimeMasking(20), sh.FrequencyMasking(10)]
    plain = made(clips[:1], steps[0])[0]
    starts = set()
    for found in made(clips, *steps, seed=1):
        masked = found == 0
        frames, bins = masked.all(1), masked.all(0)
        assert (masked == (frames[:, None] | bins)).all()
        assert frames.sum() < 20
        assert bins.sum() < 10
        np.testing.assert_array_equal(found[~masked], plain[~masked])
        starts.add((int(frames.argmax()), int(bins.argmax())))
    assert len(starts) > 20


def test_a_part_of_the_frames_bounds_a_mask() -> None:
    found = made([noise(3000)] * 40, sh.Spectrogram(n_fft=64), sh.TimeMasking(1000, p=0.1))
    assert max((each == 0).all(1).sum() for each in found) == int(0.1 * len(found[0])) - 1


def test_a_function_gets_the_spectrogram() -> None:
    def centred(powers: Any) -> Any:
        return powers - powers.mean(0)

    clips = [noise(1000), noise(2500)]
    steps = [sh.MelSpectrogram(n_mels=10), sh.AmplitudeToDB()]
    for found, plain in zip(made(clips, *steps, centred), made(clips, *steps), strict=True):
        np.testing.assert_array_equal(found, centred(plain))
    (halved,) = made([clips[0]], lambda wave: wave / 2)
    np.testing.assert_array_equal(halved, scaled(clips[0]).astype(np.float32) / 2)


@pytest.mark.parametrize(
    ("steps", "options", "says"),
    [
        ([sh.TimeMasking(3)], {}, "transform 0: TimeMasking takes a spectrogram: put Spectrogram or MelSpectrogram"),
        ([sh.AmplitudeToDB()], {}, "transform 0: AmplitudeToDB takes a spectrogram"),
        ([sh.Spectrogram(), sh.MelSpectrogram()], {}, "transform 1: MelSpectrogram takes a waveform"),
        ([sh.MelSpectrogram(8000)], {}, "has sample_rate=8000, and the waveform 16000 samples a second"),
        ([sh.CenterCrop(8)], {}, "transform 0: CenterCrop takes images, not audio"),
        ([sh.Spectrogram()], {"samples": 200}, "a waveform of 200 samples cannot be mirrored 200 beyond its ends"),
        ([sh.Spectrogram(center=False)], {"samples": 399}, "a waveform of 399 samples has no frame of n_fft=400"),
        ([sh.Spectrogram()], {"capacity": {}}, 'capacity={"audio": the most frames of one}'),
        ([sh.Spectrogram()], {"samples": 900, "capacity": {"audio": 9}}, "takes no capacity"),
    ],
)
def test_what_does_not_fit_is_refused_before_the_first_batch(steps: Any, options: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match="field `audio`") as raised:
        made([noise(1000)], *steps, **options)
    assert says in str(raised.value)


def test_sound_is_no_image() -> None:
    images = sh.Arrays({"image": np.zeros((2, 8, 8, 3), np.uint8)})
    with pytest.raises(ValueError, match="MelSpectrogram: takes sound, not images"):
        sh.Loader(images, num_workers=0, transforms={"image": [sh.MelSpectrogram()]})
    with pytest.raises(ValueError, match=r"RandomApply: transforms\[0\]: TimeMasking: takes sound, not pixels"):
        sh.RandomApply([sh.TimeMasking(3)])


def test_a_clip_that_is_too_short_is_a_bad_sample() -> None:
    with pytest.raises(sh.DecodeError, match="Spectrogram: a waveform of 100 samples cannot be mirrored") as raised:
        made([noise(1000), noise(100)], sh.Spectrogram())
    assert (raised.value.index, raised.value.stage) == (1, "transform")


def test_memory_is_bounded_by_the_budget() -> None:
    step = sh.Spectrogram(n_fft=1024, hop_length=1)
    with pytest.raises(sh.DecodeError, match=r"Spectrogram: a spectrogram needs \d+ bytes, and max_sample_bytes"):
        made([noise(5000)], step, max_sample_bytes="4MiB")
    assert made([noise(5000)], step, max_sample_bytes="16MiB")[0].shape == (5001, 513)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: sh.Spectrogram(0), "Spectrogram: n_fft must be 1 to 65536, not 0"),
        (lambda: sh.Spectrogram(win_length=401), "Spectrogram: win_length must be 1 to n_fft, 400, not 401"),
        (lambda: sh.Spectrogram(win_length=1), "hop_length must be 1 to 16777216, not 0, half of win_length"),
        (lambda: sh.Spectrogram(power=0), "Spectrogram: power must be positive, not 0"),
        (lambda: sh.MelSpectrogram(f_min=8000), "f_min must be 0 or more, and less than f_max, not 8000 to 8000"),
        (lambda: sh.MelSpectrogram(n_mels=0), "MelSpectrogram: n_mels must be 1 to 65536, not 0"),
        (lambda: sh.AmplitudeToDB(top_db=-1), "AmplitudeToDB: top_db must be 0 or more, not -1"),
        (lambda: sh.TimeMasking(3, p=1.5), "TimeMasking: p = 1.5 must lie between 0 and 1"),
        (lambda: sh.FrequencyMasking(-1), "FrequencyMasking: freq_mask_param must be 0 or more, not -1"),
    ],
)
def test_wrong_arguments_are_named(make: Any, says: str) -> None:
    with pytest.raises(ValueError, match="must") as raised:
        make()
    assert says in str(raised.value)
