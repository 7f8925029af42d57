"""Lists: a common dtype that holds what was given, or an error that names the row."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import stokehold as sh

KEPT: dict[str, tuple[list[Any], Any, str]] = {
    "whole numbers, then fractions": ([[1, 2], [0.5, 2.75]], None, "float64"),
    "bytes, then larger ones": ([np.array([7], np.uint8), np.array([300, -1])], None, "int64"),
    "unsigned, then signed": ([np.array([200], np.uint8), np.array([-1], np.int8)], None, "int16"),
    "booleans, then numbers": ([[True, False], [3]], None, "int64"),
    "an empty row of another dtype": ([[], [3], np.array([], np.float64)], None, "int64"),
    "half, then single": ([np.array([0.5], np.float16), np.array([1e-8], np.float32)], None, "float32"),
    "bytes that fit": ([[255, 0], [1]], np.uint8, "uint8"),
    "fractions that are whole": ([[2.0], [-3.0]], np.int8, "int8"),
    "large ones that floats hold": ([[2**53, 2**60]], np.float64, "float64"),
    "the largest": ([np.array([2**64 - 1], np.uint64)], np.uint64, "uint64"),
}


@pytest.mark.parametrize("name", KEPT)
def test_every_value_is_kept(name: str) -> None:
    rows, dtype, expected = KEPT[name]
    column = sh.Lists(rows, dtype)
    assert column.dtype == expected
    with sh.Loader(sh.Table({"x": column}), batch_size=len(rows), num_workers=0) as loader:
        assert [row.tolist() for row in next(iter(loader))["x"]] == [np.asarray(row).tolist() for row in rows]


LOST: dict[str, tuple[list[Any], Any, str]] = {
    "too large": ([[1], [], [2, 300]], np.uint8, "row 2 has the value 300 of dtype int64, which uint8"),
    "negative": ([[1], [-1]], np.uint64, "row 1 has the value -1"),
    "too large for its sign": ([np.array([2**63], np.uint64)], np.int64, "row 0 has the value 9223372036854775808"),
    "a fraction": ([[1.0], [1.5]], np.int64, "row 1 has the value 1.5"),
    "not a number": ([[1.0, np.nan]], np.int64, "row 0 has the value nan"),
    "a float beyond the integers": ([[2.0**63]], np.int64, "row 0 has the value 9.2"),
    "a whole number that a float rounds": ([[2**24 + 1]], np.float32, "row 0 has the value 16777217"),
    "one that is rounded beyond all": ([np.array([2**64 - 1], np.uint64)], np.float64, "row 0 has the value"),
    "a common float that rounds": ([[2**53 + 1], [0.5]], None, "row 0 has the value 9007199254740993"),
    "an infinity that was none": ([[1e300]], np.float32, "row 0 has the value 1e[+]300"),
    "a truth value": ([[0, 1], [2]], np.bool_, "row 1 has the value 2"),
    "nothing": ([[1.0], [None, 2.0]], np.float32, "row 1 has the value None"),
    "a text": ([["7"]], np.int64, "row 0 has the value 7 of dtype <U1"),
}


@pytest.mark.parametrize("name", LOST)
def test_a_value_that_would_change_is_refused(name: str) -> None:
    rows, dtype, message = LOST[name]
    with pytest.raises(ValueError, match=f"Lists: {message}"):
        sh.Lists(rows, dtype)


def test_a_float_may_be_rounded_to_a_given_one() -> None:
    assert sh.Lists([[0.1], [np.inf]], np.float32).values.tolist() == [float(np.float32(0.1)), np.inf]
    assert sh.BoundingBoxes([np.array([[0.1, 0.2, 3.3, 4.4]])]).values.dtype == np.float32


def test_rows_that_are_no_list_are_named() -> None:
    with pytest.raises(ValueError, match="KeyPoints: row 1 is no array"):
        sh.KeyPoints([[[1, 2]], [[1, 2], [3]]])
    with pytest.raises(ValueError, match=r"Lists: row 0 has shape \(\), which is not \(n\)"):
        sh.Lists([3])
    with pytest.raises(ValueError, match="BoundingBoxes: row 1 has the value 16777217 of dtype int64"):
        sh.BoundingBoxes([[[1, 2, 3, 4]], [[1, 2, 3, 16777217]]])
    with pytest.raises(ValueError, match="Lists: row 1 has dtype datetime64"):
        sh.Lists([[1], np.array(["2024-01-01"], "datetime64[D]")])
