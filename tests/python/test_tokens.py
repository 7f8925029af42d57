"""Files of tokens, against slices of NumPy's; indices that megatron-core wrote, and broken ones."""

from __future__ import annotations

import json
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import stokehold as sh
from support import values

MEGATRON = Path(__file__).resolve().parents[1] / "data" / "megatron"
HEADER = struct.Struct("<9sQBQQ")


def flat(path: Path, count: int, dtype: str = "uint16", seed: int = 0) -> npt.NDArray[Any]:
    tokens = np.random.default_rng(seed).integers(0, 50257, count).astype(dtype)
    tokens.tofile(path)
    return tokens


def samples(source: sh.Source, **options: Any) -> dict[str, npt.NDArray[Any]]:
    """All samples in order, by field."""
    with sh.Loader(source, batch_size=3, **options) as loader:
        batches = [{name: batch[name].copy() for name in batch} for batch in loader]
    return {name: np.concatenate([batch[name] for batch in batches]) for name in batches[0]}


def windows(tokens: npt.NDArray[Any], row: int, stride: int) -> npt.NDArray[Any]:
    return np.lib.stride_tricks.sliding_window_view(tokens, row)[::stride]


def numbered(starts: list[int], begin: int, length: int) -> tuple[list[int], list[int]]:
    """Segments and positions of a window by definition, token by token."""
    segments, positions = [1], [0]
    for at in range(begin + 1, begin + length):
        is_first = at in starts
        segments.append(segments[-1] + is_first)
        positions.append(0 if is_first else positions[-1] + 1)
    return segments, positions


@pytest.mark.parametrize("workers", [0, 1, 2])
@pytest.mark.parametrize(
    ("dtype", "output", "stride"),
    [("uint16", "int64", None), ("uint32", "int32", 5), ("uint8", "int64", 1), ("int32", "int64", 30)],
)
def test_windows_are_slices(tmp_path: Path, workers: int, dtype: str, output: Any, stride: int | None) -> None:
    parts = [flat(tmp_path / f"{number}.bin", count, dtype, number) for number, count in enumerate((200, 17, 16, 131))]
    source = sh.TokenBin(f"{tmp_path}/*.bin", 16, dtype=dtype, stride=stride, output=output)
    expected = np.concatenate([windows(part, 17, stride or 16) for part in parts if len(part) > 16]).astype(output)
    found = samples(source, num_workers=workers)
    assert found["tokens"].dtype == np.dtype(output)
    np.testing.assert_array_equal(found["tokens"], expected[:, :-1])
    np.testing.assert_array_equal(found["targets"], expected[:, 1:])
    assert len(source) == len(expected)
    assert repr(source) == f"TokenBin({len(expected)} windows of 16 tokens in 4 files)"


def test_what_fills_no_window_is_counted_or_overlaps(tmp_path: Path) -> None:
    tokens = flat(tmp_path / "a.bin", 40)
    flat(tmp_path / "b.bin", 3)
    dropped = sh.TokenBin([tmp_path / "a.bin", tmp_path / "b.bin"], 16)
    assert dict(dropped.counters) == {"tokens_left_out": 40 - 33 + 3}
    with sh.Loader(dropped, batch_size=1) as loader:
        assert loader.stats()["source"] == {"tokens_left_out": 10}
    kept = sh.TokenBin([tmp_path / "a.bin", tmp_path / "b.bin"], 16, rest="overlap")
    assert dict(kept.counters) == {"tokens_left_out": 3}
    expected = [tokens[start : start + 17] for start in (0, 16, 23)]
    np.testing.assert_array_equal(samples(kept)["targets"], np.stack(expected)[:, 1:])


def test_sources_of_tokens_are_combined_and_resumed(tmp_path: Path) -> None:
    a, b = flat(tmp_path / "a.bin", 170), flat(tmp_path / "b.bin", 90, "uint32")
    one, two = sh.TokenBin(tmp_path / "a.bin", 8), sh.TokenBin(tmp_path / "b.bin", 8, dtype="uint32")
    source = sh.concat([one.select(range(3, 20)), two])
    expected = np.concatenate([windows(a, 9, 8)[3:20], windows(b, 9, 8)])
    np.testing.assert_array_equal(samples(source, num_workers=2)["targets"], expected[:, 1:])
    assert sum(len(part) for part in one.split([0.5, 0.5])) == len(one)
    np.testing.assert_array_equal(one.values("tokens"), windows(a, 9, 8)[:, :-1])

    options: dict[str, Any] = {"batch_size": 4, "shuffle": True, "seed": 5}
    with sh.Loader(source, num_workers=2, **options) as loader:
        whole = values(loader)
    with sh.Loader(source, **options) as loader:
        batches = iter(loader)
        next(batches)
        next(batches)
        state = loader.state_dict()
    with sh.Loader(source, num_workers=1, **options) as loader:
        loader.load_state_dict(state)
        assert values(loader) == whole[2:]


def test_a_state_of_other_windows_is_refused(tmp_path: Path) -> None:
    flat(tmp_path / "a.bin", 80)
    flat(tmp_path / "b.bin", 80, "uint8")
    with sh.Loader(sh.TokenBin(tmp_path / "a.bin", 8, stride=9), batch_size=2) as loader:
        next(iter(loader))
        state = loader.state_dict()
    other = sh.TokenBin(tmp_path / "b.bin", 8, stride=9, dtype="uint8")
    with sh.Loader(other, batch_size=2) as loader, pytest.raises(ValueError, match="other"):
        loader.load_state_dict(state)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_separator_ends_its_segment(tmp_path: Path, workers: int) -> None:
    tokens = np.random.default_rng(3).integers(0, 6, 200).astype("uint16")
    tokens.tofile(tmp_path / "a.bin")
    found = samples(sh.TokenBin(tmp_path / "a.bin", 16, separator=0, segments=True), num_workers=workers)
    starts = (np.flatnonzero(tokens == 0) + 1).tolist()
    for number, row in enumerate(zip(found["segment_ids"].tolist(), found["position_ids"].tolist(), strict=True)):
        assert row == numbered(starts, number * 16, 16)
    assert found["segment_ids"].dtype == np.int32


@pytest.mark.parametrize("name", ["small", "large"])
@pytest.mark.parametrize("workers", [0, 1])
def test_files_of_megatron(name: str, workers: int) -> None:
    documents = json.loads((MEGATRON / f"{name}.json").read_text())
    tokens = np.concatenate([np.array(document, np.int64) for document in documents])
    source = sh.TokenBin(MEGATRON / f"{name}.idx", 10, stride=7, segments=True)
    found = samples(source, num_workers=workers)
    expected = windows(tokens, 11, 7)
    np.testing.assert_array_equal(found["tokens"], expected[:, :-1])
    np.testing.assert_array_equal(found["targets"], expected[:, 1:])
    starts = np.cumsum([0, *map(len, documents)]).tolist()
    for number, row in enumerate(zip(found["segment_ids"].tolist(), found["position_ids"].tolist(), strict=True)):
        assert row == numbered(starts, number * 7, 10)


def test_documents_are_those_of_their_file(tmp_path: Path) -> None:
    for number, name in enumerate(["small", "large", "small"]):
        for suffix in (".idx", ".bin"):
            shutil.copy(MEGATRON / f"{name}{suffix}", tmp_path / f"{number}{suffix}")
    (tmp_path / "1.idx").write_bytes(HEADER.pack(b"MMIDIDX\0\0", 1, 8, 1, 2) + struct.pack("<iqqq", 2, 0, 0, 1))
    (tmp_path / "1.bin").write_bytes(bytes(4))
    # The second file has no window, and is no shard of the table.
    one = samples(sh.TokenBin(str(tmp_path / "0"), 10, segments=True))
    all_of_them = samples(sh.TokenBin([tmp_path / "1.idx", tmp_path / "0.idx", tmp_path / "2.idx"], 10, segments=True))
    for name, rows in one.items():
        np.testing.assert_array_equal(all_of_them[name], np.concatenate([rows, rows]))


def test_numbers_that_are_no_tokens_are_bad_samples(tmp_path: Path) -> None:
    tokens = np.arange(40, dtype="int32")
    tokens[[21, 30]] = [500, -7]
    tokens.tofile(tmp_path / "a.bin")
    source = sh.TokenBin(tmp_path / "a.bin", 9, dtype="int32", vocab_size=500)
    with sh.Loader(source, batch_size=1, num_workers=1, on_error="skip") as loader:
        good = [int(batch["tokens"][0, 0]) for batch in loader if batch.valid.all()]
        reasons = [entry["reason"] for entry in loader.stats()["quarantine"]]
    assert 0 in good
    assert 18 not in good
    assert any(f"byte {21 * 4} of `{tmp_path / 'a.bin'}` is 500" in reason for reason in reasons), reasons
    assert any(f"byte {30 * 4} of `{tmp_path / 'a.bin'}` is -7" in reason for reason in reasons), reasons
    np.full(20, 2**31, "uint32").tofile(tmp_path / "b.bin")
    assert samples(sh.TokenBin(tmp_path / "b.bin", 9, dtype="uint32"))["tokens"][0, 0] == 2**31
    narrow = sh.TokenBin(tmp_path / "b.bin", 9, dtype="uint32", output="int32")
    with (
        sh.Loader(narrow, batch_size=1) as loader,
        pytest.raises(sh.DecodeError, match=r"byte 0 of .*b\.bin` is 2147483648"),
    ):
        next(iter(loader))


@pytest.mark.parametrize("workers", [0, 1])
def test_a_file_that_was_cut_short_is_a_bad_sample(tmp_path: Path, workers: int) -> None:
    flat(tmp_path / "a.bin", 400)
    with sh.Loader(sh.TokenBin(tmp_path / "a.bin", 9), batch_size=1, num_workers=workers, prefetch=1) as loader:
        with (tmp_path / "a.bin").open("r+b") as file:
            file.truncate(40)
        with pytest.raises(OSError, match=r"a\.bin"):
            for _ in loader:
                pass
        assert loader.stats()["restarts"] == 0


def test_arguments_are_checked(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    flat(path, 100)
    wrong: list[tuple[dict[str, Any], type[Exception], str]] = [
        ({"seq_len": 0}, ValueError, "TokenBin: seq_len must be 1 to 2147483646, not 0"),
        ({"seq_len": 100}, ValueError, r"no file has a window of 101 tokens .*the longest has 100"),
        ({"stride": 0}, ValueError, "TokenBin: stride"),
        ({"stride": "a"}, TypeError, "TokenBin: stride"),
        ({"dtype": "int64"}, ValueError, "TokenBin: dtype must be one of 'uint8', 'uint16', 'uint32', 'int32'"),
        ({"output": "int16"}, ValueError, "TokenBin: output must be one of 'int64', 'int32'"),
        ({"rest": "pad"}, ValueError, "TokenBin: rest must be one of 'drop', 'overlap'"),
        ({"segments": True}, ValueError, "TokenBin: segments = True needs a separator"),
        ({"separator": -1}, ValueError, "TokenBin: separator"),
        ({"separator": 9, "vocab_size": 9}, ValueError, "separator must be below vocab_size = 9, not 9"),
        ({"vocab_size": 0}, ValueError, "TokenBin: vocab_size"),
        ({"paths": []}, ValueError, "TokenBin: paths: there are no paths"),
        ({"paths": 5}, TypeError, "TokenBin: paths must be a path, or a list"),
        ({"paths": tmp_path / "none.bin"}, FileNotFoundError, "none.bin"),
        ({"paths": [path, MEGATRON / "small.idx"]}, ValueError, "not both with or without an index"),
        ({"paths": [MEGATRON / "small.idx", MEGATRON / "large.idx"]}, ValueError, "int32, and .*small.bin of uint16"),
        ({"paths": MEGATRON / "small.idx", "dtype": "uint32"}, ValueError, "dtype is uint32, and .* says uint16"),
        ({"paths": MEGATRON / "small.idx", "separator": 0}, ValueError, "documents are those of the index"),
        ({"paths": MEGATRON / "small.bin"}, ValueError, "has an index of Megatron's beside it"),
    ]
    usual: dict[str, Any] = {"paths": path, "seq_len": 8}
    for given, kind, message in wrong:
        with pytest.raises(kind, match=message):
            sh.TokenBin(**(usual | given))
    path.write_bytes(bytes(7))
    with pytest.raises(ValueError, match=r"a\.bin has 7 bytes, which is no whole number of tokens of uint16"):
        sh.TokenBin(path, 2)


def replaced(content: bytes, at: int, what: bytes) -> bytes:
    return content[:at] + what + content[at + len(what) :]


BROKEN: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "empty": (lambda _: b"", "is no index of Megatron's: byte 0"),
    "magic": (lambda content: replaced(content, 0, b"TNTIDX\0\0\0"), "is no index of Megatron's: byte 0"),
    "header": (lambda content: content[:20], "is cut short at byte 20, in its header of 34 bytes"),
    "version": (lambda content: replaced(content, 9, b"\2"), r"is of version 2 \(byte 9\)"),
    "dtype": (lambda content: replaced(content, 17, b"\7"), r"holds float32 \(byte 17\)"),
    "no dtype": (lambda content: replaced(content, 17, b"\x2a"), r"has the dtype 42, which there is not \(byte 17\)"),
    "truncated": (lambda content: content[:-1], "has 353 bytes, and its 18 sequences"),
    "sequences": (lambda content: replaced(content, 18, b"\xff" * 8), f"its {2**64 - 1} sequences"),
    "bounds": (lambda content: replaced(content, 26, b"\xff" * 8), f"{2**64 - 1} bounds of documents"),
    "length": (lambda content: replaced(content, 38, struct.pack("<i", -1)), r"sequence 1 has -1 tokens \(byte 38\)"),
    "pointer": (
        lambda content: replaced(content, 34 + 4 * 18 + 8, struct.pack("<q", 1 << 60)),
        rf"sequence 1 starts at byte {1 << 60} of the tokens \(byte 114 of the index\)",
    ),
    "document": (
        lambda content: replaced(content, 34 + 12 * 18 + 8, struct.pack("<q", 19)),
        r"document 1 begins with sequence 19 \(byte 258\)",
    ),
    "order": (
        lambda content: replaced(content, 34 + 12 * 18 + 8, struct.pack("<q", 9)),
        r"document 2 begins before the last one \(byte 266\)",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_indices_are_refused(tmp_path: Path, name: str) -> None:
    change, message = BROKEN[name]
    shutil.copy(MEGATRON / "small.bin", tmp_path)
    (tmp_path / "small.idx").write_bytes(change((MEGATRON / "small.idx").read_bytes()))
    with pytest.raises(ValueError, match=message) as raised:
        sh.TokenBin(tmp_path / "small.idx", 4)
    assert "small.idx" in str(raised.value)


def test_an_index_of_other_tokens_is_refused(tmp_path: Path) -> None:
    shutil.copy(MEGATRON / "small.idx", tmp_path)
    with pytest.raises(FileNotFoundError, match=r"small\.bin"):
        sh.TokenBin(tmp_path / "small.idx", 4)
    (tmp_path / "small.bin").write_bytes((MEGATRON / "small.bin").read_bytes()[:-2])
    with pytest.raises(ValueError, match=r"small\.bin: has 786 bytes, and the index .* says 788"):
        sh.TokenBin(tmp_path / "small.idx", 4)
