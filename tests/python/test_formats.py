"""Image formats but JPEG against Pillow: the same pixels, kind by kind."""

from __future__ import annotations

import io
import itertools
import struct
import warnings
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image, ImageOps

import stokehold as sh

RNG = np.random.default_rng(0)
HEIGHT, WIDTH = 37, 45
ORIENTATION, XMP = 274, 700
SHORT, LONG = 3, 4

Pixels = npt.NDArray[np.uint8]


def _loaded(folder: Path, files: Sequence[bytes], **options: Any) -> Iterator[Pixels]:
    """Yields what a loader makes of each file."""
    paths = [folder / str(at) for at in range(len(files))]
    for path, data in zip(paths, files, strict=True):
        path.write_bytes(data)
    with sh.Loader(
        sh.Table({"image": sh.Images(paths)}),
        transforms={"image": [sh.DecodeImage(**options)]},
        capacity={"image": 30_000},
        num_workers=0,
    ) as loader:
        for batch in loader:
            yield np.array(batch["image"][0])


def _masks(folder: Path, files: Sequence[bytes], size: tuple[int, int]) -> Iterator[Pixels]:
    """Yields what a loader makes of each mask."""
    image = folder / "image.png"
    Image.new("RGB", size).save(image)
    paths = [folder / str(at) for at in range(len(files))]
    for path, data in zip(paths, files, strict=True):
        path.write_bytes(data)
    table = sh.Table({"image": sh.Images([image] * len(paths)), "mask": sh.Masks(paths)})
    with sh.Loader(table, capacity={"image": 30_000, "mask": 30_000}, num_workers=0) as loader:
        for batch in loader:
            yield np.array(batch["mask"][0])


def _pillow(data: bytes) -> Pixels:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def _is_read_by_pillow(data: bytes) -> bool:
    """Tells whether Pillow reads a file; it has no big-endian BigTIFF, and few bits in reverse not always."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            _pillow(data)
        except (OSError, ValueError):
            return False
    return True


def _check(folder: Path, files: dict[str, bytes], right: Callable[[bytes], Pixels] = _pillow, **options: Any) -> None:
    for (name, data), seen in zip(files.items(), _loaded(folder, list(files.values()), **options), strict=True):
        np.testing.assert_array_equal(seen, right(data), err_msg=name)


def _refused(folder: Path, data: bytes, words: str) -> None:
    with pytest.raises(sh.DecodeError, match=words):
        list(_loaded(folder, [data]))


def _saved(image: Image.Image, form: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def _noise(*shape: int, end: int = 256) -> Pixels:
    return RNG.integers(0, end, shape, dtype=np.uint8)


def _tiff(
    tags: dict[int, Sequence[int]], chunks: Sequence[bytes], order: str = "<", *, big: bool = False, tiled: bool = False
) -> bytes:
    """Returns a TIFF whose numbers are all 32 bits long, or 64."""
    size, code, kind = (8, "Q", 16) if big else (4, "I", LONG)
    header = {"<": b"II", ">": b"MM"}[order] + struct.pack(order + "H", 43 if big else 42)
    header += struct.pack(order + "HH", 8, 0) if big else b""
    starts = list(itertools.accumulate((len(chunk) for chunk in chunks), initial=len(header) + size))
    places = (324, 325) if tiled else (273, 279)
    tags = {**tags, places[0]: starts[:-1], places[1]: [len(chunk) for chunk in chunks]}
    body = header + struct.pack(order + code, starts[-1]) + b"".join(chunks)
    at = len(body) + (8 if big else 2) + len(tags) * (4 + 2 * size) + size
    entries, outside = b"", b""
    for tag, values in sorted(tags.items()):
        value = struct.pack(f"{order}{len(values)}{code}", *values)
        if len(value) > size:
            value, outside = struct.pack(order + code, at + len(outside)), outside + value
        entries += struct.pack(f"{order}HH{code}", tag, kind, len(values)) + value.ljust(size, b"\0")
    return body + struct.pack(order + ("Q" if big else "H"), len(tags)) + entries + bytes(size) + outside


def _grey_tags(width: int, height: int, bits: int, photometric: int = 1, samples: int = 1) -> dict[int, Sequence[int]]:
    return {256: [width], 257: [height], 258: [bits] * samples, 262: [photometric], 277: [samples]}


@pytest.mark.parametrize("compression", [None, "tiff_lzw", "tiff_adobe_deflate", "packbits", "zstd", "lzma"])
def test_tiff_that_pillow_writes(tmp_path: Path, compression: str | None) -> None:
    colours = Image.fromarray(_noise(HEIGHT, WIDTH, 3))
    smooth = Image.fromarray(np.linspace(0, 255, HEIGHT * WIDTH * 3).reshape(HEIGHT, WIDTH, 3).astype(np.uint8))
    images = [image.convert(mode) for image in (colours, smooth) for mode in ("1", "L", "LA", "RGB", "RGBA", "CMYK")]
    images += [colours.quantize(9), colours.quantize(200), smooth.convert("YCbCr") if compression is None else smooth]
    files = {}
    for at, image in enumerate(images):
        for rows, predictor in itertools.product((5, 1000), (1, 2)):
            info = {278: rows, 317: predictor} if predictor == 2 and image.mode not in "1P" else {278: rows}
            # With the tag as it is, its subsampling is one that Pillow has not done.
            info |= {530: (1, 1)} if image.mode == "YCbCr" else {}
            data = _saved(image, "TIFF", compression=compression, tiffinfo=info)
            files[f"{at} {image.mode} {rows} {predictor}"] = data
    _check(tmp_path, files)


@pytest.mark.parametrize("compression", ["tiff_ccitt", "group3", "group4"])
def test_fax(tmp_path: Path, compression: str) -> None:
    rows, columns = np.mgrid[0:60, 0:301]
    images = [
        RNG.random((20, 31)) < 0.5,
        RNG.random((40, 130)) < 0.03,
        (rows // 7 + columns // 90) % 2 == 0,
        (rows - 30) ** 2 + (columns - 150) ** 2 < 800,
        np.zeros((9, 3000), bool),
        np.ones((9, 2561), bool),
        RNG.random((3, 1)) < 0.5,
    ]
    files = {}
    for at, image in enumerate(images):
        for options in range(2 if compression == "group3" else 1):
            info = {292: options} if options else {}
            files[f"{at} {options}"] = _saved(Image.fromarray(image), "TIFF", compression=compression, tiffinfo=info)
    _check(tmp_path, files)


@pytest.mark.parametrize("mode", ["L", "RGB", "YCbCr"])
def test_jpeg_inside_of_tiff(tmp_path: Path, mode: str) -> None:
    image = Image.fromarray(np.linspace(0, 255, HEIGHT * WIDTH * 3).reshape(HEIGHT, WIDTH, 3).astype(np.uint8))
    files = {
        f"{quality} {rows}": _saved(
            image.convert(mode), "TIFF", compression="jpeg", quality=quality, tiffinfo={278: rows}
        )
        for quality, rows in itertools.product((50, 95), (8, 16, 1000))
    }
    _check(tmp_path, files)


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
@pytest.mark.parametrize("photometric", [0, 1, 3])
def test_tiff_of_few_bits(tmp_path: Path, bits: int, photometric: int) -> None:
    width, height = 13, 5
    row = -(-width * bits // 8)
    colours = RNG.integers(0, 65536, 3 << bits).tolist()
    files = {}
    for order, big, fill, rows in itertools.product("<>", (False, True), (1, 2), (2, 5)):
        packed = _noise(height, row)
        chunks = [packed[at : at + rows].tobytes() for at in range(0, height, rows)]
        tags = _grey_tags(width, height, bits, photometric) | {278: [rows], 266: [fill]}
        tags |= {320: colours} if photometric == 3 else {}
        data = _tiff(tags, chunks, order, big=big)
        if _is_read_by_pillow(data):
            files[f"{order} {big} {fill} {rows}"] = data
    assert len(files) >= 6
    _check(tmp_path, files)
    for seen, (name, data) in zip(_masks(tmp_path, list(files.values()), (width, height)), files.items(), strict=True):
        # Pillow spreads greys of 2 and 4 bits; a mask has the numbers.
        right = np.asarray(Image.open(io.BytesIO(data))).astype(np.uint8)
        step = 255 // ((1 << bits) - 1) if bits in (2, 4) and photometric < 3 else 1
        np.testing.assert_array_equal(seen, right // step, err_msg=name)


def test_tiles_planes_and_extra_samples(tmp_path: Path) -> None:
    files = {}
    for photometric, samples, extra in [(1, 1, []), (2, 3, []), (2, 4, [2]), (2, 4, [1]), (2, 4, [0]), (2, 4, []),
                                        (2, 4, [999]), (2, 5, [2, 0]), (2, 6, [0, 0, 0]), (1, 2, [2]), (1, 2, [0]),
                                        (5, 4, []), (5, 5, [0])]:  # fmt: skip
        image = _noise(HEIGHT, WIDTH, samples)
        tags = _grey_tags(WIDTH, HEIGHT, 8, photometric, samples) | ({338: extra} if extra else {})
        files[f"strips {photometric} {samples} {extra}"] = _tiff(tags, [image.tobytes()])
        padded = np.pad(image, ((0, 48 - HEIGHT), (0, 64 - WIDTH), (0, 0)))
        tiles = [padded[y : y + 16, x : x + 32].tobytes() for y in range(0, 48, 16) for x in range(0, 64, 32)]
        files[f"tiles {photometric} {samples} {extra}"] = _tiff(tags | {322: [32], 323: [16]}, tiles, tiled=True)
        if photometric == 2 and len(extra) == 0 and samples == 3:
            planes = [image[..., plane].tobytes() for plane in range(samples)]
            files[f"planes {samples}"] = _tiff(tags | {284: [2]}, planes)
    _check(tmp_path, files)


def test_tiff_of_16_bits(tmp_path: Path) -> None:
    files = {}
    for order, (samples, extra) in itertools.product("<>", [(3, []), (4, [2]), (4, [0]), (4, [])]):
        image = RNG.integers(0, 65536, (5, 7, samples)).astype(order + "u2")
        tags = _grey_tags(7, 5, 16, 2, samples) | ({338: extra} if extra else {})
        files[f"{order} {samples} {extra}"] = _tiff(tags, [image.tobytes()], order)
        files[f"{order} {samples} {extra} zlib"] = _tiff(tags | {259: [8]}, [zlib.compress(image.tobytes())], order)
    _check(tmp_path, files)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("exif", [False, True])
def test_tiff_is_turned_once(tmp_path: Path, orientation: int, exif: bool) -> None:
    image = Image.fromarray(_noise(20, 30, 3))
    files = {
        str(compression): _saved(image, "TIFF", compression=compression, tiffinfo={ORIENTATION: orientation})
        for compression in (None, "tiff_lzw")
    }
    _check(tmp_path, files, apply_exif_orientation=exif)
    mask = _saved(image.convert("L"), "TIFF", tiffinfo={ORIENTATION: orientation})
    right = np.asarray(Image.open(io.BytesIO(mask)))
    (seen,) = _masks(tmp_path, [mask], (right.shape[1], right.shape[0]))
    np.testing.assert_array_equal(seen, right)


def test_tiff_that_is_not_read_says_why(tmp_path: Path) -> None:
    grey = _grey_tags(2, 1, 8)
    _refused(tmp_path, _tiff(grey | {259: [6]}, [b"ab"]), "compressed by JPEG of the old style")
    _refused(tmp_path, _tiff(grey | {259: [50001]}, [b"ab"]), "compressed by WebP")
    _refused(tmp_path, _tiff(_grey_tags(2, 1, 8, 8, 3), [b"abcdef"]), "pixels of CIELab")
    _refused(tmp_path, _tiff(grey | {258: [32], 339: [3]}, [bytes(8)]), "float32")
    _refused(tmp_path, _tiff(grey | {258: [32], 339: [2]}, [bytes(8)]), "float32")
    _refused(tmp_path, _tiff(grey | {339: [2]}, [b"ab"]), "8 bits, signed, which uint8 does not hold.*float32")
    _refused(tmp_path, _tiff(grey, [b"a"])[:-60], "TIFF")


def _bmp(bits: int, size: tuple[int, int], rows: bytes, header: int = 40, between: bytes = b"", **more: int) -> bytes:
    """Returns a bitmap; between the header and the rows stand masks or colours."""
    planes, compression, colours = more.get("planes", 1), more.get("compression", 0), more.get("colours", 0)
    if header == 12:
        fields = struct.pack("<IHHHH", header, *size, planes, bits)
    else:
        fields = struct.pack("<IiiHHIIiiII", header, *size, planes, bits, compression, len(rows), 0, 0, colours, 0)
        inside = between[: header - 40] if compression == 3 else b""
        fields, between = fields + inside.ljust(header - 40, b"\0"), between[len(inside) :]
    start = more.get("start", 14 + header + len(between))
    return b"BM" + struct.pack("<IHHI", 0, 0, 0, start) + fields + between + rows


@pytest.mark.parametrize("header", [12, 40, 52, 56, 64, 108, 124])
@pytest.mark.parametrize("size", [(1, 1), (5, 3), (33, 7), (31, -5)])
def test_bmp(tmp_path: Path, header: int, size: tuple[int, int]) -> None:
    if header == 12 and size[1] < 0:
        pytest.skip("that header has no heights below 0")
    files, masks = {}, {}
    for bits in (1, 4, 8, 16, 24, 32):
        rows = _noise(abs(size[1]), -(-size[0] * bits // 32) * 4).tobytes()
        colours = _noise(1 << bits, 3 if header == 12 else 4).tobytes() if bits <= 8 else b""
        files[f"{bits}"] = _bmp(bits, size, rows, header, colours, planes=3)
        files[f"{bits}, no start"] = _bmp(bits, size, rows, header, colours, start=0)
        if bits <= 8:
            masks[f"{bits}"] = files[f"{bits}"]
            files[f"{bits}, start at the colours"] = _bmp(bits, size, rows, header, colours, start=14 + header)
    if header != 12:
        layouts = {16: [(0xF800, 0x7E0, 0x1F, 0), (0x7C00, 0x3E0, 0x1F, 0)], 24: [(0xFF0000, 0xFF00, 0xFF, 0)]}
        layouts[32] = [(0xFF0000, 0xFF00, 0xFF, 0), (0xFF000000, 0xFF0000, 0xFF00, 0xFF), (0, 0, 0, 0),
                       (0xFF, 0xFF00, 0xFF0000, 0xFF000000), (0xFF000000, 0xFF00, 0xFF, 0xFF0000)]  # fmt: skip
        for bits, parts in itertools.chain.from_iterable(
            zip([bits] * 9, layouts[bits], strict=False) for bits in layouts
        ):
            rows = _noise(abs(size[1]), -(-size[0] * bits // 32) * 4).tobytes()
            # Where there is no room for alpha, Pillow's list has only some of the layouts.
            if parts[3] == 0 or header >= 56:
                between = struct.pack("<4I", *parts)[: 16 if header >= 56 else 12]
                files[f"{bits} {parts}"] = _bmp(bits, size, rows, header, between, compression=3)
        ramp = b"".join(bytes([grey, grey, grey, 0]) for grey in range(256))
        rows = _noise(abs(size[1]), -(-size[0] * 8 // 32) * 4).tobytes()
        files["grey"] = masks["grey"] = _bmp(8, size, rows, header, ramp)
    _check(tmp_path, files)
    for seen, (name, data) in zip(
        _masks(tmp_path, list(masks.values()), (size[0], abs(size[1]))), masks.items(), strict=True
    ):
        np.testing.assert_array_equal(seen, np.asarray(Image.open(io.BytesIO(data))), err_msg=name)


def test_runs_of_bmp(tmp_path: Path) -> None:
    colours = _noise(256, 4).tobytes()
    rows = [b"\x05\x07\x03\x09\x00\x00", b"\x00\x05abcde\x00\x03x\x00\x00", b"\x08y\x00\x00"]
    nibbles = [b"\x08\x12\x00\x00", b"\x00\x05\x12\x34\x50\x00\x03\x66\x00\x00", b"\x08\x9a\x00\x01"]
    files = {
        "RLE8": _bmp(8, (8, 3), b"".join(rows) + b"\0\1", 40, colours, compression=1),
        "RLE8 top down": _bmp(8, (8, -3), b"".join(rows) + b"\0\1", 40, colours, compression=1),
        "RLE4": _bmp(4, (8, 3), b"".join(nibbles), 40, colours[:64], compression=2),
    }
    _check(tmp_path, files)
    _refused(tmp_path, files["RLE8"][:-12], "BMP: unexpected end of data")


@pytest.mark.parametrize("largest", [1, 2, 3, 7, 9, 100, 127, 200, 254, 255])
def test_largest_values_of_pnm(tmp_path: Path, largest: int) -> None:
    values = np.resize(np.arange(largest + 1), (largest // 3 + 1) * 3)
    plain = " ".join(map(str, values)).encode()
    files = {}
    for grey, colour, samples in [(b"P5", b"P6", values.astype(np.uint8).tobytes()), (b"P2", b"P3", plain)]:
        files[f"{grey!r}"] = b"%s %d 1 %d\n" % (grey, len(values), largest) + samples
        files[f"{colour!r}"] = b"%s %d 1 %d\n" % (colour, len(values) // 3, largest) + samples
    _check(tmp_path, files)
    (mask,) = _masks(tmp_path, [files["b'P5'"]], (len(values), 1))
    np.testing.assert_array_equal(mask[0], values)


def test_headers_of_pnm(tmp_path: Path) -> None:
    files = [b"P5 2#x\n3 1 255\n" + b"a" * 23, b"P2 2 1 255\n1 #c 3\n 2", b"P5\n\n2\n\n1\n255\nab",
             b"P5 2 1 9\n\x09\x14", b"P5\x0b2\x0c1\r255\nab", b"P1 3 2 011100", b"P4 9 2\n\x55\x80\xaa\x00",
             b"P1 2 1 #\n0 #1\n1"]  # fmt: skip
    _check(tmp_path, {repr(data): data for data in files})
    for data in (b"P5 2 1 255\na", b"P2 2 1 9 10 1", b"P1 2 1 12", b"P5 2 1 65536 ab", b"P5 2 1 0 ab", b"P2 2 1 9\n1"):
        _refused(tmp_path, data, "as PNM")


def _gif(screen: tuple[int, int], frame: tuple[int, int, int, int], colours: bytes, transparent: int | None, *,
         local: bool, interlaced: bool) -> bytes:  # fmt: skip
    """Returns a GIF with one frame of four indices, whose codes are cleared so often that they have three bits."""
    codes = [code for at in range(frame[2] * frame[3]) for code in (4, at % 4)]
    bits = "".join(f"{code:03b}"[::-1] for code in [*codes, 5])
    data = bytes(int(bits[at : at + 8][::-1], 2) for at in range(0, len(bits), 8))
    blocks = b"".join(bytes([len(data[at : at + 255])]) + data[at : at + 255] for at in range(0, len(data), 255))
    flags = 0x81 if colours else 0
    head = b"GIF89a" + struct.pack("<HHBBB", *screen, 0 if local else flags, 1, 0) + (b"" if local else colours)
    if transparent is not None:
        head += b"\x21\xf9\x04\x01\0\0" + bytes([transparent, 0])
    head += b"\x2c" + struct.pack("<HHHHB", *frame, (flags if local else 0) | 0x40 * interlaced)
    return head + (colours if local else b"") + b"\2" + blocks + b"\0;"


def test_gif(tmp_path: Path) -> None:
    frames = [((5, 4), (0, 0, 5, 4)), ((9, 7), (2, 1, 5, 4)), ((9, 7), (0, 0, 6, 3)), ((3, 3), (2, 1, 5, 4)),
              ((20, 20), (3, 3, 9, 9))]  # fmt: skip
    palettes = {"colours": bytes(range(10, 130, 10)), "greys": bytes([0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3]), "none": b""}
    files, masks = {}, {}
    for (screen, frame), colours, transparent, local, interlaced in itertools.product(
        frames, palettes, (None, 0, 2, 7), (False, True), (False, True)
    ):
        data = _gif(screen, frame, palettes[colours], transparent, local=local, interlaced=interlaced)
        files[f"{screen} {frame} {colours} {transparent} {local} {interlaced}"] = data
    _check(tmp_path, files)
    masks = {name: data for name, data in files.items() if name.startswith("(9, 7)")}
    for seen, (name, data) in zip(_masks(tmp_path, list(masks.values()), (9, 7)), masks.items(), strict=True):
        np.testing.assert_array_equal(seen, np.asarray(Image.open(io.BytesIO(data))), err_msg=name)


def _exif(kind: int, value: bytes, order: str = "<", count: int = 1) -> bytes:
    """Returns a block whose only entry is the orientation."""
    header = {"<": b"II*\0", ">": b"MM\0*"}[order] + struct.pack(order + "I", 8)
    entry = struct.pack(order + "HHHI", 1, ORIENTATION, kind, count)
    if len(value) > 4:
        return header + entry + struct.pack(order + "I", 26) + bytes(4) + value
    return header + entry + value.ljust(8, b"\0")


def _segment(content: bytes) -> bytes:
    return b"\xff\xe1" + struct.pack(">H", len(content) + 2) + content


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def _riff(kind: bytes, content: bytes) -> bytes:
    return kind + struct.pack("<I", len(content)) + content + bytes(len(content) % 2)


def _blocks() -> dict[str, bytes]:
    """Returns EXIF blocks with an orientation of every kind, of which some are none."""
    numbers = {3: "H", 4: "I", 6: "b", 8: "h", 9: "i", 11: "f", 12: "d", 13: "I", 16: "Q"}
    blocks = {f"kind {kind} {order}": _exif(kind, struct.pack(order + code, 6), order)
              for (kind, code), order in itertools.product(numbers.items(), "<>")}  # fmt: skip
    blocks |= {f"BYTE {kind}": _exif(kind, b"\6") for kind in (1, 2, 7, 99)}
    blocks |= {f"value {value}": _exif(SHORT, struct.pack("<H", value)) for value in (0, 1, 2, 5, 8, 9, 256)}
    blocks["rational"] = _exif(5, struct.pack("<II", 12, 2))
    blocks["signed rational"] = _exif(10, struct.pack("<ii", -18, -3))
    blocks["not whole"] = _exif(11, struct.pack("<f", 6.5))
    blocks["none"] = _exif(SHORT, b"\6\0", count=0)
    blocks["cut"] = blocks["kind 3 <"][:16]
    return blocks


def _xmps() -> dict[str, bytes]:
    return {"attribute": b'<a tiff:Orientation="6"/>', "element": b"<tiff:Orientation>8</tiff:Orientation>",
            "other quotes": b"<a tiff:Orientation='6'/>", "nine": b'<a tiff:Orientation="9"/>', "empty": b""}  # fmt: skip


def _turned(data: bytes) -> Pixels:
    return np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB"))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("form", ["PNG", "WEBP", "JPEG"])
def test_orientation_is_found_where_pillow_finds_it(tmp_path: Path, form: str) -> None:
    image = Image.fromarray(np.full((8, 16, 3), 200, np.uint8) if form == "JPEG" else _noise(8, 16, 3))
    plain = _saved(image, form, **({"lossless": True} if form == "WEBP" else {}))
    files = {}
    xmp_prefix = b"http://ns.adobe.com/xap/1.0/\0"
    for name, block in [*_blocks().items(), ("no EXIF", b"")]:
        for which, xmp in [*_xmps().items(), ("no XMP", b"")]:
            if form == "JPEG":
                parts = _segment(b"Exif\0\0" + block) if block else b""
                parts += _segment(xmp_prefix + xmp) if xmp else b""
                data = plain[:2] + b"\xff\xff" * bool(xmp) + parts + plain[2:]
            elif form == "PNG":
                parts = _chunk(b"eXIf", block) if block else b""
                parts += _chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + xmp) if xmp else b""
                data = plain[:33] + parts + plain[33:]
            else:
                flags = bytes([8 * bool(block) | 4 * bool(xmp), *bytes(3), 15, 0, 0, 7, 0, 0])
                body = _riff(b"VP8X", flags) + plain[12:] + _riff(b"EXIF", block) + _riff(b"XMP ", xmp)
                data = b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body
            files[f"{name}, {which}"] = data
    _check(tmp_path, files, _turned, apply_exif_orientation=True)


@pytest.mark.filterwarnings("ignore")
def test_orientation_in_parts_and_texts(tmp_path: Path) -> None:
    block, xmp = _exif(SHORT, b"\6\0"), _xmps()["element"]
    jpeg = _saved(Image.new("RGB", (16, 8)), "JPEG")
    png = _saved(Image.fromarray(_noise(8, 16, 3)), "PNG")
    raw = b"\nexif\n%8d\n" % len(block) + b"\n".join(block.hex().encode()[at : at + 7] for at in range(0, 99, 7))
    end = png.index(b"IEND") - 4
    texts = {
        "eXIf": _chunk(b"eXIf", block),
        "eXIf with prefix": _chunk(b"eXIf", b"Exif\0\0" + block),
        "raw profile": _chunk(b"tEXt", b"Raw profile type exif\0" + raw),
        "compressed raw profile": _chunk(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(raw)),
        "XMP": _chunk(b"tEXt", b"XML:com.adobe.xmp\0" + xmp),
        "compressed XMP": _chunk(b"zTXt", b"XML:com.adobe.xmp\0\0" + zlib.compress(xmp)),
        "compressed international XMP": _chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0en\0x\0" + zlib.compress(xmp)),
        "broken compression": _chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(xmp)[2:]),
        "another text": _chunk(b"tEXt", b"Comment\0" + xmp),
        "XMP twice": _chunk(b"tEXt", b"XML:com.adobe.xmp\0" + xmp) + _chunk(b"tEXt", b"XML:com.adobe.xmp\0none"),
    }
    files = {f"{name}, before": png[:33] + chunks + png[33:] for name, chunks in texts.items()}
    files |= {f"{name}, behind": png[:end] + chunks + png[end:] for name, chunks in texts.items()}
    exif = b"Exif\0\0"
    parts = [_segment(exif + block[:13]), _segment(exif + block[13:])]
    files["EXIF in two segments"] = jpeg[:2] + b"".join(parts) + jpeg[2:]
    files["EXIF in two segments with others between"] = jpeg[:2] + parts[0] + _segment(b"other") + parts[1] + jpeg[2:]
    files["fill bytes"] = jpeg[:2] + b"\xff\xff\xff" + _segment(exif + block) + jpeg[2:]
    files["prefix twice"] = jpeg[:2] + _segment(exif + exif + block) + jpeg[2:]
    _check(tmp_path, files, _turned, apply_exif_orientation=True)
    _check(tmp_path, files, apply_exif_orientation=False)
