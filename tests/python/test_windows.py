"""Windows of time series, against slices of NumPy's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import stokehold as sh
from support import values


def samples(source: sh.Source, **options: Any) -> dict[str, npt.NDArray[Any]]:
    """All samples in order, by field."""
    with sh.Loader(source, batch_size=4, **options) as loader:
        batches = [{name: batch[name].copy() for name in batch} for batch in loader]
    return {name: np.concatenate([batch[name] for batch in batches]) for name in batches[0]}


def sliced(series: list[npt.NDArray[Any]], length: int, stride: int, horizon: int) -> list[npt.NDArray[Any]]:
    """Windows by definition, and what is behind them."""
    starts = [(each, at) for each in series for at in range(0, len(each) - length - horizon + 1, stride)]
    return [
        np.stack([each[at : at + length] for each, at in starts]),
        np.stack([each[at + length : at + length + horizon] for each, at in starts]),
    ]


def made(lengths: tuple[int, ...], shape: tuple[int, ...], dtype: str) -> list[npt.NDArray[Any]]:
    rng = np.random.default_rng(0)
    return [(rng.random((length, *shape)) * 200).astype(dtype) for length in lengths]


@pytest.mark.parametrize("workers", [0, 1, 2])
@pytest.mark.parametrize("kind", ["memory", "files", "both"])
@pytest.mark.parametrize("cut", [(5, 1, 0), (6, 4, 3), (2, 9, 1)])
def test_windows_are_slices(tmp_path: Path, workers: int, kind: str, cut: tuple[int, int, int]) -> None:
    length, stride, horizon = cut
    lengths = (31, 4, 9, 40)
    series = {"x": made(lengths, (2, 3), "float32"), "y": made(lengths, (), "int16")}
    given = {name: list(each) for name, each in series.items()}
    for name, each in given.items():
        for at, array in enumerate(each):
            if kind == "files" or (kind == "both" and at % 2):
                np.save(tmp_path / f"{name}{at}.npy", array)
                each[at] = np.load(tmp_path / f"{name}{at}.npy", mmap_mode="r")
    source = sh.Windows(given, length, stride, horizon)
    found = samples(source, num_workers=workers)
    for name, each in series.items():
        expected = sliced(each, length, stride, horizon)
        np.testing.assert_array_equal(found[name], expected[0])
        assert found[name].dtype == expected[0].dtype
        if horizon:
            np.testing.assert_array_equal(found[f"{name}_horizon"], expected[1])
    assert set(found) == ({"x", "y", "x_horizon", "y_horizon"} if horizon else {"x", "y"})
    short = sum(each < length + horizon for each in lengths)
    assert dict(source.counters) == ({"series_too_short": short} if short else {})


def test_one_series_is_an_array_and_is_held_once() -> None:
    array = np.arange(300_000, dtype="float64")
    source = sh.Windows({"x": array}, 100, horizon=10)
    expected = sliced([array[:130]], 100, 1, 10)
    found = samples(source.select(range(21)))
    np.testing.assert_array_equal(found["x"], expected[0])
    np.testing.assert_array_equal(found["x_horizon"], expected[1])
    assert repr(source) == f"Windows({300_000 - 109} windows of 100 steps of x, x_horizon)"
    _, pieces = source.data()
    assert sum(piece.nbytes for piece in pieces) < 1.1 * array.nbytes
    assert len(sh.Windows({"x": [[1, 2], [3, 4], [5, 6]]}, 2)) == 2


def test_windows_are_combined_and_resumed() -> None:
    (array,) = made((90,), (2,), "float32")
    source = sh.concat([sh.Windows({"x": array}, 8), sh.Windows({"x": array[::-1]}, 8, 5)])
    assert len(source) == 83 + 17
    options: dict[str, Any] = {"batch_size": 7, "shuffle": True, "seed": 3}
    with sh.Loader(source, num_workers=2, **options) as loader:
        whole = values(loader)
    with sh.Loader(source, **options) as loader:
        next(iter(loader))
        state = loader.state_dict()
    with sh.Loader(source, num_workers=1, **options) as loader:
        loader.load_state_dict(state)
        assert values(loader) == whole[1:]


def test_arguments_are_checked() -> None:
    array = np.zeros((9, 2), "float32")
    wrong: list[tuple[dict[str, Any], type[Exception], str]] = [
        ({"length": 0}, ValueError, "Windows: length must be 1 or more"),
        ({"stride": 0}, ValueError, "Windows: stride must be 1 or more"),
        ({"horizon": -1}, ValueError, "Windows: horizon must be 0 or more"),
        ({"length": 8, "horizon": 2}, ValueError, "no series has a window of 8 steps and 2 behind it .*longest has 9"),
        ({"arrays": {}}, ValueError, "Windows: arrays must have at least one field"),
        ({"arrays": [array]}, TypeError, "Windows: arrays must be a mapping"),
        ({"arrays": {"x": "text"}}, TypeError, "column `x` must be an array"),
        ({"arrays": {"x": 1.0}}, ValueError, "`x` is a scalar"),
        ({"arrays": {"x": array.astype("complex64")}}, ValueError, "complex64"),
        ({"arrays": {"x": array, "y": array[:4]}}, ValueError, "series 0 of `y` has 4 steps, and that of `x` has 9"),
        ({"arrays": {"x": array, "y": [array, array]}}, ValueError, "`y` has 2 series, and `x` has 1"),
        ({"arrays": {"x": [array, array[:, 0]]}}, ValueError, r"\['x'\]\[1\] has steps of float32\[\]"),
        ({"arrays": {"x": array, "x_horizon": array}, "horizon": 1}, ValueError, "rename that one"),
    ]
    usual: dict[str, Any] = {"arrays": {"x": array}, "length": 2}
    for given, kind, message in wrong:
        with pytest.raises(kind, match=message):
            sh.Windows(**(usual | given))
