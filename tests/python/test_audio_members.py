"""Audio files in tar shards, records and tables become the waveforms that they are as files."""

from __future__ import annotations

import io
import json
import struct
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import stokehold as sh
import tf_records
from test_audio import DATA, RATE, loaded, noise, wav


@pytest.fixture(scope="module", autouse=True)
def _pyarrow_has_its_threads(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Libraries start threads at their first work; no test is to seem to leave them behind."""
    pa, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    pa.set_io_thread_count(1)
    path = tmp_path_factory.mktemp("pyarrow") / "x.parquet"
    parquet.write_table(pa.table({"x": [1]}), path)
    parquet.read_table(path)


WAVEFORM = sh.Waveform(RATE, samples=3000)
FILES = [wav(noise(4000)), (DATA / "tone.flac").read_bytes(), (DATA / "tone.ogg").read_bytes(), wav(noise(500), 8000)]


def shards(folder: Path, waveform: sh.Waveform | None) -> sh.Source:
    with tarfile.open(folder / "x.tar", "w") as tar:
        for number, content in enumerate(FILES):
            info = tarfile.TarInfo(f"{number}.{['wav', 'flac', 'ogg', 'wav'][number]}")
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    member = sh.Member("wav;flac;ogg", waveform)
    return sh.WebDataset(folder / "x.tar", {"audio": member}, cache=False)


def records(folder: Path, waveform: sh.Waveform | None) -> sh.Source:
    (folder / "x").write_bytes(tf_records.file_of([{"sound": [content]} for content in FILES]))
    return sh.TFRecord(folder / "x", {"audio": sh.Feature("sound", waveform)}, cache=False)


def table(is_struct: bool) -> Any:
    pa = pytest.importorskip("pyarrow")
    if is_struct:
        rows = [{"bytes": content, "path": None} for content in FILES]
        return pa.table({"audio": pa.array(rows, pa.struct({"bytes": pa.binary(), "path": pa.string()}))})
    return pa.table({"audio": pa.array(FILES, pa.binary())})


def parquet(is_struct: bool) -> Callable[[Path, sh.Waveform | None], sh.Source]:
    def make(folder: Path, waveform: sh.Waveform | None) -> sh.Source:
        pytest.importorskip("pyarrow.parquet").write_table(table(is_struct), folder / "x.parquet")
        audio = None if waveform is None else {"audio": waveform}
        columns = {"audio": "audio.bytes"} if is_struct and waveform is None else None
        return sh.Parquet(folder / "x.parquet", columns=columns, audio=audio)

    return make


def arrow(is_struct: bool) -> Callable[[Path, sh.Waveform | None], sh.Source]:
    def make(folder: Path, waveform: sh.Waveform | None) -> sh.Source:
        pa, rows = pytest.importorskip("pyarrow"), table(is_struct)
        with pa.OSFile(str(folder / "x.arrow"), "wb") as file, pa.ipc.new_file(file, rows.schema) as writer:
            writer.write_table(rows)
        audio = None if waveform is None else {"audio": waveform}
        return sh.Arrow(folder / "x.arrow", columns=["audio"], audio=audio)

    return make


def hugging_face(folder: Path, waveform: sh.Waveform | None) -> sh.Source:
    pa, rows = pytest.importorskip("pyarrow"), table(is_struct=True)
    with pa.OSFile(str(folder / "x.arrow"), "wb") as file, pa.ipc.new_stream(file, rows.schema) as writer:
        writer.write_table(rows)
    (folder / "state.json").write_text(json.dumps({"_data_files": [{"filename": "x.arrow"}], "_format_type": None}))
    (folder / "dataset_info.json").write_text(json.dumps({"features": {"audio": {"_type": "Audio"}}}))
    return sh.HuggingFace(folder, audio=None if waveform is None else {"audio": waveform})


def mds(folder: Path, waveform: sh.Waveform | None) -> sh.Source:
    """A shard as MDSWriter writes one: a number, and the bytes of a file."""
    records = [struct.pack("<I", len(content)) + struct.pack("<q", at) + content for at, content in enumerate(FILES)]
    ends = np.cumsum([4 * (len(FILES) + 2), *map(len, records)]).astype("<u4")
    (folder / "x.mds").write_bytes(struct.pack("<I", len(FILES)) + ends.tobytes() + b"".join(records))
    described = {
        "column_encodings": ["int", "bytes"],
        "column_names": ["n", "sound"],
        "column_sizes": [8, None],
        "compression": None,
        "format": "mds",
        "raw_data": {"basename": "x.mds", "bytes": int(ends[-1])},
        "samples": len(FILES),
    }
    (folder / "index.json").write_text(json.dumps({"shards": [described], "version": 2}))
    audio = None if waveform is None else {"audio": waveform}
    return sh.Mds(folder, {"audio": "sound", "n": "n"}, audio=audio)


SOURCES = {
    "shards": shards,
    "mds": mds,
    "records": records,
    "parquet": parquet(is_struct=False),
    "parquet structs": parquet(is_struct=True),
    "arrow": arrow(is_struct=False),
    "arrow structs": arrow(is_struct=True),
    "hugging face": hugging_face,
}


def rows(source: sh.Source, workers: int = 0, **options: Any) -> list[npt.NDArray[Any]]:
    with sh.Loader(source, batch_size=1, num_workers=workers, **options) as loader:
        return [np.array(batch["audio"][0]) for batch in loader]


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("name", SOURCES)
def test_files_of_any_source_become_the_waveforms_of_a_column(tmp_path: Path, name: str, workers: int) -> None:
    found = rows(SOURCES[name](tmp_path, WAVEFORM), workers)
    for waveform, expected in zip(found, loaded(sh.Audio(FILES, RATE, samples=3000)), strict=True):
        np.testing.assert_array_equal(waveform, expected)


@pytest.mark.parametrize("name", SOURCES)
def test_without_a_waveform_they_are_bytes(tmp_path: Path, name: str) -> None:
    assert [each.tobytes() for each in rows(SOURCES[name](tmp_path, None))] == FILES


@pytest.mark.parametrize("name", SOURCES)
def test_members_take_transforms_and_keep_their_lengths(tmp_path: Path, name: str) -> None:
    source = SOURCES[name](tmp_path, sh.Waveform(RATE))
    steps = {"audio": [sh.MelSpectrogram(n_mels=12), sh.AmplitudeToDB()]}
    found = rows(source, transforms=steps, capacity={"audio": 40})
    assert [each.shape for each in found] == [(21, 12), (21, 12), (21, 12), (6, 12)]
    with pytest.raises(ValueError, match="the most samples of one"):
        sh.Loader(source, num_workers=0)


def test_files_beside_a_dataset_are_found_by_their_paths(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    for number, content in enumerate(FILES):
        (tmp_path / f"{number}.audio").write_bytes(content)
    paths = [{"bytes": None, "path": f"{number}.audio"} for number in range(len(FILES))]
    kind = pa.struct({"bytes": pa.binary(), "path": pa.string()})
    table = pa.table({"audio": pa.array(paths, kind)})
    with pa.OSFile(str(tmp_path / "x.arrow"), "wb") as file, pa.ipc.new_stream(file, table.schema) as writer:
        writer.write_table(table)
    (tmp_path / "state.json").write_text(json.dumps({"_data_files": [{"filename": "x.arrow"}]}))
    (tmp_path / "dataset_info.json").write_text(json.dumps({"features": {"audio": {"_type": "Audio"}}}))
    found = rows(sh.HuggingFace(tmp_path, audio={"audio": WAVEFORM}, root=tmp_path))
    for waveform, expected in zip(found, loaded(sh.Audio(FILES, RATE, samples=3000)), strict=True):
        np.testing.assert_array_equal(waveform, expected)
    with pytest.raises(ValueError, match="has only the path of a file"):
        sh.HuggingFace(tmp_path, audio={"audio": WAVEFORM})


def test_what_holds_no_files_is_refused(tmp_path: Path) -> None:
    pa, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    table = pa.table({"n": [1, 2], "s": ["a", "b"]})
    parquet.write_table(table, tmp_path / "x.parquet")
    with pa.OSFile(str(tmp_path / "x.arrow"), "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table)
    for column in ("n", "s"):
        with pytest.raises(ValueError, match=f"column `{column}` is .*audio files"):
            sh.Parquet(tmp_path / "x.parquet", audio={column: WAVEFORM})
        with pytest.raises(ValueError, match=f"column `{column}` is a .* audio file"):
            sh.Arrow(tmp_path / "x.arrow", audio={column: WAVEFORM})
    for make in (
        lambda given: sh.Parquet(tmp_path / "x.parquet", audio=given),
        lambda given: sh.Arrow("x", audio=given),
        lambda given: sh.Mds(tmp_path, audio=given),
    ):
        with pytest.raises(TypeError, match=r"audio\['n'\] must be a Waveform, not 16000"):
            make({"n": 16_000})
    with pytest.raises(ValueError, match="audio names `none`, "):
        sh.Parquet(tmp_path / "x.parquet", audio={"none": WAVEFORM})
    mds(tmp_path, None)
    with pytest.raises(ValueError, match=r"Mds: audio\['n'\] needs a column of bytes, not of the encoding 'int'"):
        sh.Mds(tmp_path, audio={"n": WAVEFORM})
    with pytest.raises(ValueError, match="audio names `audio`, which is no field; there are n, sound"):
        sh.Mds(tmp_path, audio={"audio": WAVEFORM})


def test_a_bad_member_is_a_bad_sample(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "x.tar", "w") as tar:
        for number, content in enumerate([FILES[0], b"no audio"]):
            info = tarfile.TarInfo(f"{number}.wav")
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    source = sh.WebDataset(tmp_path / "x.tar", {"audio": sh.Member("wav", WAVEFORM)}, cache=False)
    with pytest.raises(sh.DecodeError, match="it is no audio file") as raised:
        rows(source)
    assert raised.value.index == 1
