"""The small files that `fuzz_sources.py` damages, and how each kind of them is opened."""

from __future__ import annotations

import copy
import io
import json
import random
import re
import struct
import tarfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet
import safetensors.numpy
from PIL import Image

import chat_templates
import stokehold as sh
import tf_records
import tokenizer_files

Files: TypeAlias = Mapping[str, bytes]

DATA: Final = Path(__file__).parents[1] / "data"


@dataclass
class Target:
    """One kind of files."""

    seeds: Sequence[Files]
    open: Callable[[Path], sh.Source]
    images: Sequence[str] = ()
    """Fields that are images, which are cropped to one size."""
    transforms: Callable[[Path], Mapping[str, Any]] = lambda _: {}
    """Those of other fields."""
    capacity: Mapping[str, int] = field(default_factory=dict)
    kept: Sequence[str] = ()
    """Files that are not damaged."""
    repair: Callable[[bytes], bytes] | None = None
    """Makes checksums right again, so that what is behind them is tried too."""
    repaired: float = 0.8
    packed: Callable[[Files], Files] | None = None
    """Makes the files that are opened of those that are damaged."""


def _pixels(number: int, shape: tuple[int, ...] = (12, 10, 3)) -> Any:
    return np.random.default_rng(number).integers(0, 256, shape, dtype=np.uint8)


def _encoded(form: str, mode: str = "RGB", **options: Any) -> bytes:
    file = io.BytesIO()
    Image.fromarray(_pixels(1)).convert(mode).save(file, form, **options)
    return file.getvalue()


MEMBERS: Final[Files] = {
    "0.cls": b"3",
    "0.txt": "naïve".encode(),
    "0.json": json.dumps({"n": {"x": [1, 2.5]}, "s": "a"}).encode(),
    "0.jpg": _encoded("JPEG", quality=60),
}


def _npy(array: Any) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def _tar(files: Files, form: int = tarfile.PAX_FORMAT, folder: str = "", link: bool = False) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=form) as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(folder + name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
        for name in files if link else ():
            info = tarfile.TarInfo("linked" + name[1:])
            info.type, info.linkname = tarfile.LNKTYPE, folder + name
            tar.addfile(info)
    return file.getvalue()


def _summed(content: bytes) -> bytes:
    """Makes the checksum of every header of a tar file right."""
    data, at = bytearray(content), 0
    while at + 512 <= len(data):
        if not any(data[at : at + 512]):
            at += 512
            continue
        data[at + 148 : at + 156] = b" " * 8
        data[at + 148 : at + 156] = b"%06o\0 " % sum(data[at : at + 512])
        digits = bytes(data[at + 124 : at + 136]).strip(b"\0 ")
        size = int(digits, 8) if digits.isdigit() else 0
        at += 512 + (size + 511) // 512 * 512
    return bytes(data)


def tar() -> Target:
    members = {**MEMBERS, "0.npy": _npy(np.arange(6, dtype=np.float32).reshape(2, 3)), "0.bin": b"\0\1\2"}
    forms = (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT)
    seeds = [_tar(members, form, "d" * length + "/") for form in forms for length in (1, 80)]
    seeds += [_tar(members, form, "é" * 90 + "/", link=True) for form in forms[1:]]
    return Target(
        [{"x.tar": seed} for seed in seeds],
        lambda folder: sh.WebDataset(folder / "x.tar", cache=False),
        images=["jpg"],
        repair=_summed,
    )


def members() -> Target:
    """What lies in tar files."""
    arrays = [_npy(np.arange(6, dtype=dtype).reshape(2, 3)) for dtype in ("<f4", "|u1", "<i8")]
    tensors = safetensors.numpy.save({"a": np.arange(4, dtype=np.int16)})
    fields: dict[str, str | sh.Member] = {
        "label": "cls",
        "text": "txt",
        "x": sh.Member("json", value="n/x", dtype="float64", shape=(None,)),
        "s": sh.Member("json", value="s"),
        "array": sh.Member("npy", shape=(None, 3)),
        "image": "jpg;png",
        "mask": sh.Member("seg.png", "mask"),
        "bin": "bin",
    }
    mask = _encoded("PNG", "L")
    return Target(
        [{**MEMBERS, "0.npy": array, "0.bin": tensors, "0.seg.png": mask} for array in arrays],
        lambda folder: sh.WebDataset(folder / "x.tar", fields, cache=False),
        images=["image"],
        packed=lambda files: {"x.tar": _tar(files)},
    )


def mds() -> Target:
    files = {path.name: path.read_bytes() for path in (DATA / "mds").iterdir()}
    return Target([files], sh.Mds, images=["image"])


def npy() -> Target:
    arrays = [np.arange(12, dtype=dtype).reshape(4, 3) for dtype in ("<f4", "|u1", "<i8", "<f2")]
    return Target([{"x.npy": _npy(array)} for array in arrays], lambda folder: sh.Npy({"x": folder / "x.npy"}))


def npz() -> Target:
    seeds = []
    for dtype in (np.float32, np.uint8):
        file = io.BytesIO()
        np.savez(file, x=np.arange(12, dtype=dtype).reshape(4, 3), y=np.arange(4))
        seeds.append({"x.npz": file.getvalue()})
    return Target(seeds, lambda folder: sh.Npz(folder / "x.npz"))


def safetensors_files() -> Target:
    tensors: dict[str, Any] = {"x": np.arange(12, dtype=np.float32).reshape(4, 3), "y": np.arange(4, dtype=np.int64)}
    seeds = [safetensors.numpy.save(tensors, metadata) for metadata in (None, {"a": "b"})]
    return Target([{"x": seed} for seed in seeds], lambda folder: sh.Safetensors(folder / "x"))


def csv() -> Target:
    lines = 'file,label,number,text\na.jpg,cat,1.5,"a ""quoted"", text"\na.jpg,dog,-2e3,"two\nlines"\na.jpg,cat,3,é\n'
    seeds: list[Files] = [
        {"x.csv": text.encode(), "a.jpg": MEMBERS["0.jpg"]} for text in (lines, lines.replace("\n", "\r\n"))
    ]
    columns: Any = {
        "image": sh.PathColumn(column="file"),
        "label": sh.LabelColumn(),
        "number": sh.NumberColumn(),
        "text": sh.TextColumn(),
    }
    return Target(
        seeds,
        lambda folder: sh.Csv(folder / "x.csv", columns, root=folder),
        images=["image"],
        kept=["a.jpg"],
    )


def jsonl() -> Target:
    rows = [{"label": label, "x": number, "list": [number] * 3, "text": "é"} for number, label in enumerate("aba")]
    text = "".join(json.dumps(row, ensure_ascii=bool(row["x"])) + "\n" for row in rows)
    return Target([{"x.jsonl": text.encode()}], lambda folder: sh.JsonLines(folder / "x.jsonl"))


def _table() -> Any:
    image = pa.array([MEMBERS["0.jpg"]] * 5, pa.binary())
    columns: dict[str, Any] = {
        "n": pa.array(range(5), pa.int32()),
        "f": pa.array([0.5] * 5, pa.float64()),
        "b": pa.array([True, False] * 2 + [True]),
        "s": pa.array(["a", "é", "", "long" * 9, "e"]),
        "l": pa.array([[1], [], [2, 3], [4], [5]], pa.list_(pa.int64())),
        "v": pa.array([[1.0, 2.0]] * 5, pa.list_(pa.float32(), 2)),
        "d": pa.array(["x", "y", "x", "y", "x"]).dictionary_encode(),
    }
    return pa.table(columns | {"image": image})


def parquet() -> Target:
    seeds: list[Files] = []
    for number, codec in enumerate(["none", "snappy", "gzip", "brotli", "lz4", "zstd"]):
        file = io.BytesIO()
        version: Any = ["1.0", "2.0"][number % 2]
        pa.parquet.write_table(
            _table(), file, compression=codec, data_page_version=version, row_group_size=3, use_dictionary=number < 3
        )
        seeds.append({"x.parquet": file.getvalue()})
    more = {
        "h": pa.array([1.5, None, 2.5, 0.0, 1.0], pa.float16()),
        "fixed": pa.array([b"abc", b"def", None, b"abc", b"ghi"], pa.binary(3)),
    }
    table = pa.table(more | {name: _table()[name] for name in ("n", "f", "s", "v", "image")})
    split: Any = dict.fromkeys(["n", "f", "h"], "BYTE_STREAM_SPLIT") | {"s": "DELTA_BYTE_ARRAY"}
    for version in ["1.0", "2.0"]:
        file = io.BytesIO()
        pa.parquet.write_table(
            table, file, data_page_version=version, row_group_size=3, use_dictionary=["fixed"], column_encoding=split
        )
        seeds.append({"x.parquet": file.getvalue()})
    return Target(
        seeds,
        lambda folder: sh.Parquet(folder / "x.parquet", images=["image"], cache="4MiB", nulls="fill"),
        images=["image"],
    )


def arrow() -> Target:
    seeds: list[Files] = []
    for make in (pa.ipc.new_file, pa.ipc.new_stream):
        for codec in (None, "zstd"):
            file, table = io.BytesIO(), _table()
            with make(file, table.schema, options=pa.ipc.IpcWriteOptions(compression=codec)) as writer:
                writer.write_table(table, max_chunksize=3)
            seeds.append({"x.arrow": file.getvalue()})
    return Target(seeds, lambda folder: sh.Arrow(folder / "x.arrow", images=["image"]), images=["image"])


def _chunks_summed(content: bytes) -> bytes:
    """Makes the checksums of a PNG file right; other files stay."""
    if not content.startswith(b"\x89PNG\r\n\x1a\n"):
        return content
    data, at = bytearray(content), 8
    while at + 12 <= len(data):
        size = int.from_bytes(data[at : at + 4])
        end = at + 8 + size
        data[end : end + 4] = struct.pack(">I", zlib.crc32(data[at + 4 : end]))[: max(0, len(data) - end)]
        at = end + 4
    return bytes(data)


def images() -> Target:
    """Image files of all formats but JPEG, which has a target of its own in `fuzz/`."""
    files = [_encoded("PNG", mode) for mode in ("RGB", "RGBA", "L", "P", "1", "LA", "I;16")]
    files += [_encoded("WEBP", mode, lossless=lossless) for mode in ("RGB", "RGBA") for lossless in (False, True)]
    files += [_encoded("GIF", "P"), _encoded("BMP"), _encoded("BMP", "P"), _encoded("PPM"), _encoded("PPM", "L")]
    files += [
        _encoded("TIFF", compression=codec)
        for codec in (None, "tiff_lzw", "packbits", "tiff_adobe_deflate", "jpeg", "zstd", "lzma")
    ]
    files += [_encoded("TIFF", "1", compression="group4"), _encoded("TIFF", "1", compression="group3")]
    files += [_encoded("JPEG", "CMYK"), _encoded("JPEG", progressive=True), _encoded("JPEG", "L")]
    return Target(
        [{"x": file} for file in files],
        lambda folder: sh.Table({"image": sh.Images([folder / "x"])}),
        images=["image"],
        repair=_chunks_summed,
    )


def _framed(content: bytes) -> bytes:
    """Makes all checksums of a TFRecord file right, as far as its lengths lead."""
    data, at = bytearray(content), 0
    while at + 16 <= len(data):
        size = int.from_bytes(data[at : at + 8], "little")
        if at + size + 16 > len(data):
            size = len(data) - at - 16
        data[at : at + 16 + size] = tf_records.framed(bytes(data[at + 12 : at + 12 + size]))
        at += 16 + size
    return bytes(data)


def tfrecord() -> Target:
    features: dict[str, tf_records.Values | bytes] = {
        "image": [MEMBERS["0.jpg"]],
        "label": [3],
        "numbers": [1, -1, 1 << 40],
        "single": tf_records.feature([1.5, 2.5], packed=False),
        "floats": [0.5, 2.5, 3.5, 4.5],
        "text": ["é".encode()],
        "raw": [bytes(8)],
    }
    fields: dict[str, str | sh.Feature] = {
        "image": sh.Feature("image", "image"),
        "label": sh.Feature("label", "label"),
        "numbers": sh.Feature("numbers", shape=(None,)),
        "single": "single",
        "floats": sh.Feature("floats", shape=(None, 2)),
        "text": sh.Feature("text", "text"),
        "raw": sh.Feature("raw", "raw", dtype="int16", shape=(4,)),
        "small": sh.Feature("label", dtype="uint8"),
    }
    return Target(
        [{"x": tf_records.file_of([features] * count)} for count in (1, 3)],
        lambda folder: sh.TFRecord(folder / "x", fields, cache=False),
        images=["image"],
        repair=_framed,
    )


def _parts(value: Any) -> list[tuple[Any, Any]]:
    """Returns where everything lies that is part of a value of JSON: in what, and under which key."""
    keys: Any = value.keys() if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    return [found for key in keys for found in [(value, key), *_parts(value[key])]]


def _reshaped(content: bytes, seeds: Sequence[bytes]) -> bytes:
    """Returns JSON of which a few parts are others, where the content is none any more; a function of that."""
    chance = random.Random(content)
    try:
        return json.dumps(json.loads(content)).encode()
    except ValueError:
        data = json.loads(chance.choice(seeds))
    strings = ["", "a", "\u0301", "[CLS]", "(a|b)*c", "x" * 1000, "\u2581", "\0"]
    numbers = [0, 1, -1, 2**31, 2**32 - 1, 2**64, 0.5, 1e308]
    for _ in range(chance.choice([1, 1, 2, 4])):
        # Most parts are those of the vocabulary.
        places = _parts(data)
        few = [(holder, key) for holder, key in places if isinstance(holder, dict) and len(holder) < 50]
        holder, key = chance.choice(few if chance.random() < 0.8 and few else places)
        others = [other[at] for other, at in chance.sample(places, min(4, len(places)))]
        holder[key] = chance.choice([*strings, *numbers, None, True, [], {}, *copy.deepcopy(others)])
    return json.dumps(data).encode()


def tokenizer() -> Target:
    rows = [*tokenizer_files.ODD, *tokenizer_files.texts()[:10]]
    seeds = [{"x.json": make(130).to_str().encode()} for make in tokenizer_files.KINDS.values()]
    contents = [seed["x.json"] for seed in seeds]

    def transforms(folder: Path) -> Mapping[str, Any]:
        path = folder / "x.json"
        cut = sh.Tokenize(path, 6, padding="max_length", pad_token_id=0)
        return {"text": [sh.Tokenize(path)], **cut.views("text")}

    return Target(
        seeds,
        lambda _: sh.Table({"text": rows}),
        transforms=transforms,
        repair=lambda content: _reshaped(content, contents),
    )


def _respliced(content: bytes, seeds: Sequence[str]) -> bytes:
    """Returns a template of pieces of others, where the content is none that is read; a function of that."""
    chance = random.Random(content)
    pieces = [piece for seed in seeds for piece in re.split(r"(?={[{%])|(?<=[%}]})", seed) if piece]
    start = chance.randrange(len(pieces))
    chosen = pieces[start : start + chance.randint(1, 30)]
    odd = [
        "{{ x }}",
        "{% endif %}",
        "{% endfor %}",
        "{% generation %}",
        "{% for a in messages recursive %}",
        "{{ 'x' * 99999 }}",
    ]
    for _ in range(chance.choice([0, 1, 2, 4])):
        chosen[chance.randrange(len(chosen))] = chance.choice([*pieces, *odd])
    return "".join(chosen).encode()


def chat() -> Target:
    """Chat templates."""
    tokens = tokenizer_files.split(300).to_str().encode()
    # Not all templates take others.
    texts = [json.dumps(each) for each in chat_templates.TALKS if each[0]["role"] == "user"]
    templates = list(chat_templates.TEMPLATES.values())

    def transforms(folder: Path) -> Mapping[str, Any]:
        template = sh.ChatTemplate(folder / "x.jinja", variables={"bos_token": "<s>", "eos_token": "</s>"})
        made = sh.Tokenize(folder / "x.json", 50, padding="max_length", pad_token_id=0, chat_template=template)
        return made.views("text", ["input_ids", "labels"])

    return Target(
        [{"x.jinja": template.encode(), "x.json": tokens} for template in templates],
        lambda _: sh.Table({"text": texts}),
        transforms=transforms,
        kept=["x.json"],
        repair=lambda content: _respliced(content, templates),
        repaired=0.6,
    )


def _pages_summed(content: bytes) -> bytes:
    """Makes the checksums of an Ogg file's pages right; other files stay."""
    data, at = bytearray(content), 0
    while data[at : at + 4] == b"OggS" and at + 27 <= len(data):
        sizes = data[at + 27 : at + 27 + data[at + 26]]
        end = min(len(data), at + 27 + len(sizes) + sum(sizes))
        data[at + 22 : at + 26] = bytes(4)
        checksum = 0
        for byte in data[at:end]:
            checksum ^= byte << 24
            for _ in range(8):
                checksum = (checksum << 1) ^ (0x104C11DB7 if checksum >> 31 else 0)
        data[at + 22 : at + 26] = struct.pack("<I", checksum)
        at = end
    return bytes(data)


def audio() -> Target:
    """Sound of all formats, whole and to spectrograms."""
    files = [(DATA / "audio" / f"tone.{suffix}").read_bytes() for suffix in ("flac", "mp3", "ogg")]
    wave = struct.pack("<4sI4s4sIHHIIHH", b"RIFF", 1660, b"WAVE", b"fmt ", 16, 1, 2, 8000, 32_000, 4, 16)
    notes = struct.pack("<4sI4s4sI4s", b"LIST", 16, b"INFO", b"INAM", 4, b"tone")
    files.append(wave + notes + struct.pack("<4sI", b"data", 1600) + bytes(range(200)) * 8)
    return Target(
        [{"x": file} for file in files],
        lambda folder: sh.Table(
            {"x": sh.Audio([folder / "x"], 8000), "y": sh.Audio([folder / "x"], 16_000, samples=2000)}
        ),
        transforms=lambda _: {"y": [sh.MelSpectrogram(n_mels=20), sh.AmplitudeToDB(top_db=80)]},
        capacity={"x": 20_000},
        repair=_pages_summed,
    )


def idx() -> Target:
    """The index of a Megatron corpus, beside its tokens."""
    seeds: list[Files] = []
    for code, dtype in ((8, np.uint16), (4, np.int32)):
        tokens = np.arange(60, dtype=dtype)
        lengths = np.array([10, 0, 25, 25], np.int32)
        places = np.cumsum([0, *lengths[:-1].tolist()], dtype=np.int64) * tokens.itemsize
        header = b"MMIDIDX\0\0" + struct.pack("<QBQQ", 1, code, 4, 5)
        index = header + lengths.tobytes() + places.tobytes() + np.arange(5, dtype=np.int64).tobytes()
        seeds.append({"x.idx": index, "x.bin": tokens.tobytes()})
    return Target(seeds, lambda folder: sh.TokenBin(folder / "x.idx", 7), kept=["x.bin"])


TARGETS: Final[dict[str, Callable[[], Target]]] = {
    "arrow": arrow,
    "audio": audio,
    "chat": chat,
    "csv": csv,
    "idx": idx,
    "images": images,
    "jsonl": jsonl,
    "mds": mds,
    "members": members,
    "npy": npy,
    "npz": npz,
    "parquet": parquet,
    "safetensors": safetensors_files,
    "tar": tar,
    "tfrecord": tfrecord,
    "tokenizer": tokenizer,
}
