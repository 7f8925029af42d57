"""Channels and depth: what `DecodeImage` makes of files, beside Pillow and torchvision; what masks keep; and images of
1 to 4 channels of each dtype through transforms."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import sklearn.datasets
from PIL import Image

import stokehold as sh

PHOTOGRAPH = Image.fromarray(np.ascontiguousarray(sklearn.datasets.load_sample_image("flower.jpg")[100:160, 200:283]))
MODES = ["RGB", "L", "LA", "RGBA"]
ROOM = 83 * 60 * 4


def files(folder: Path) -> dict[str, Path]:
    """Writes the photograph in every kind of 8 bits that Pillow knows."""
    alpha = Image.fromarray(np.arange(83 * 60, dtype=np.uint8).reshape(60, 83))
    with_alpha = PHOTOGRAPH.copy()
    with_alpha.putalpha(alpha)
    grey = PHOTOGRAPH.convert("L")
    palette = PHOTOGRAPH.quantize(50)
    kinds: dict[str, tuple[Image.Image, dict[str, Any]]] = {
        "rgb.jpg": (PHOTOGRAPH, {}),
        "grey.jpg": (grey, {}),
        "rgb.png": (PHOTOGRAPH, {}),
        "rgba.png": (with_alpha, {}),
        "grey.png": (grey, {}),
        "grey_alpha.png": (with_alpha.convert("LA"), {}),
        "one_bit.png": (grey.convert("1"), {}),
        "palette.png": (palette, {}),
        "transparent.png": (palette, {"transparency": 7}),
        "rgba.webp": (with_alpha, {"lossless": True, "exact": True}),
        "rgb.bmp": (PHOTOGRAPH, {}),
        "grey.tif": (grey, {}),
        "rgba.tif": (with_alpha, {}),
        "grey.pgm": (grey, {}),
    }
    paths = {}
    for name, (image, options) in kinds.items():
        paths[name] = folder / name
        image.save(paths[name], **options)
    return paths


def loader(paths: list[Path], *transforms: sh.Transform, capacity: int | None = ROOM, **options: Any) -> sh.Loader:
    room = {} if capacity is None else {"image": capacity}
    return sh.Loader(
        sh.Table({"image": sh.Images(paths)}),
        batch_size=len(paths),
        transforms={"image": list(transforms)},
        capacity=room,
        **{"num_workers": 0, **options},
    )


def decoded(path: Path, **options: Any) -> npt.NDArray[Any]:
    with loader([path], sh.DecodeImage(**options)) as images:
        return np.array(next(iter(images))["image"][0])


def pillows(path: Path, mode: str) -> npt.NDArray[np.uint8]:
    with Image.open(path) as image:
        array = np.asarray(image.convert(mode))
    return array if array.ndim == 3 else array[..., None]


@pytest.mark.parametrize("mode", MODES)
def test_modes_are_pillows_for_every_format(tmp_path: Path, mode: str) -> None:
    for name, path in files(tmp_path).items():
        found = decoded(path, mode=mode)
        assert found.dtype == np.uint8, name
        assert np.array_equal(found, pillows(path, mode)), name


def png(path: Path, width: int, bits: int, color: int, rows: list[npt.NDArray[Any]]) -> Path:
    """Writes a file with what Pillow does not write: 16 bits with several channels, grey of 2 and 4 bits."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, len(rows), bits, color, 0, 0, 0))
    data = chunk(b"IDAT", zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows)))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + header + data + chunk(b"IEND", b""))
    return path


def deep_png(path: Path, values: npt.NDArray[np.uint16]) -> Path:
    color = {1: 0, 2: 4, 3: 2, 4: 6}[values.shape[2]]
    return png(path, values.shape[1], 16, color, list(values.astype(">u2")))


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_16_bits_are_kept_cut_or_counted(tmp_path: Path, channels: int) -> None:
    values = np.random.default_rng(channels).integers(0, 65536, (7, 9, channels), dtype=np.uint16)
    path = deep_png(tmp_path / "deep.png", values)
    assert np.array_equal(decoded(path, mode="unchanged", dtype="uint16"), values)
    assert np.array_equal(decoded(path, mode="unchanged", dtype="uint16", channels=channels), values)
    assert np.array_equal(decoded(path, mode="unchanged", dtype="float32"), values.astype(np.float32))
    high = (values >> 8).astype(np.uint8)
    assert np.array_equal(decoded(path, mode="unchanged"), high)
    if channels > 1:
        # Pillow reads the high bytes, where it does not take 16 bits for a mode of their own.
        assert np.array_equal(decoded(path), pillows(path, "RGB"))
        assert np.array_equal(decoded(path, mode="L"), pillows(path, "L"))
    with loader([path], sh.DecodeImage()) as images:
        next(iter(images))
        assert images.stats()["reduced_depth"] == 1
        assert images.stats()["widened_depth"] == 0


# Newer torchvisions say that their decoders will move to another package.
@pytest.mark.filterwarnings("ignore:The image decoding and encoding capabilities:DeprecationWarning")
def test_deep_files_are_torchvisions(tmp_path: Path) -> None:
    io = pytest.importorskip("torchvision.io")
    values = np.random.default_rng(0).integers(0, 65536, (8, 5, 3), dtype=np.uint16)
    path = deep_png(tmp_path / "deep.png", values)
    theirs = io.decode_image(str(path), io.ImageReadMode.UNCHANGED).numpy().transpose(1, 2, 0)
    assert np.array_equal(decoded(path, mode="unchanged", dtype="uint16"), theirs)


def test_unchanged_channels_are_a_ragged_axis(tmp_path: Path) -> None:
    paths = files(tmp_path)
    names = ["rgb.jpg", "grey.jpg", "rgba.png", "grey_alpha.png", "palette.png", "transparent.png"]
    with loader([paths[name] for name in names], sh.DecodeImage(mode="unchanged"), num_workers=1) as images:
        assert images.spec["image"] == sh.FieldSpec("uint8", (None, None, None), ROOM)
        batch = next(iter(images))["image"]
        assert [image.shape[2] for image in batch] == [3, 1, 4, 2, 3, 4]
        for name, image in zip(names, batch, strict=True):
            mode = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}[image.shape[2]]
            assert np.array_equal(image, pillows(paths[name], mode)), name
    fixed = [sh.DecodeImage(mode="unchanged"), sh.CenterCrop(16), sh.ToLayout("CHW")]
    with loader([paths[name] for name in names], *fixed, capacity=None) as images:
        assert images.spec["image"] == sh.FieldSpec("uint8", (None, None, None), 4 * 16 * 16)
        assert [image.shape for image in next(iter(images))["image"]] == [(c, 16, 16) for c in (3, 1, 4, 2, 3, 4)]
    # What leaves as many channels of all leaves nothing that varies.
    with loader([paths[name] for name in names], *fixed[:2], sh.Grayscale(), capacity=None) as images:
        assert images.spec["image"] == sh.FieldSpec("uint8", (16, 16, 1), None)
        assert next(iter(images))["image"].shape == (6, 16, 16, 1)


def test_given_channels_make_the_spec_known(tmp_path: Path) -> None:
    paths = files(tmp_path)
    decode = sh.DecodeImage(mode="unchanged", channels=4)
    with loader([paths["rgba.png"]], decode, sh.CenterCrop(16), capacity=None) as images:
        assert images.spec["image"] == sh.FieldSpec("uint8", (16, 16, 4), None)
    with (
        loader([paths["rgb.png"]], decode) as images,
        pytest.raises(sh.DecodeError, match=r"has 3 channels, and not channels=4; a mode would convert them"),
    ):
        next(iter(images))


def test_what_is_left_out_is_counted(tmp_path: Path) -> None:
    paths = files(tmp_path)
    names = ["rgba.png", "grey_alpha.png", "rgb.png", "grey.png", "rgb.jpg", "grey.jpg"]
    expected: dict[str, tuple[int, int]] = {"RGB": (2, 0), "L": (2, 3), "LA": (0, 3), "RGBA": (0, 0)}
    for mode, (alpha, colour) in expected.items():
        with loader([paths[name] for name in names], sh.DecodeImage(mode=mode)) as images:  # type: ignore[arg-type]
            next(iter(images))
            stats = images.stats()
        counted = [stats[name] for name in ("dropped_alpha", "dropped_colour", "reduced_depth", "widened_depth")]
        assert counted == [alpha, colour, 0, 0], mode
    with loader([paths["grey.png"]], sh.DecodeImage(dtype="uint16")) as images:
        assert np.array_equal(next(iter(images))["image"][0], pillows(paths["grey.png"], "RGB"))
        assert images.stats()["widened_depth"] == 1


def test_wrong_options_are_named() -> None:
    made: Any = sh.DecodeImage
    for options, message in (
        ({"mode": "CMYK"}, "CMYK"),
        ({"dtype": "int64"}, "DecodeImage: dtype must be one of 'uint8', 'uint16', 'float32', not 'int64'"),
        ({"channels": 3}, 'DecodeImage: channels goes with mode="unchanged" alone'),
        ({"mode": "unchanged", "channels": 5}, "DecodeImage: channels = 5 must lie between 1 and 4"),
    ):
        with pytest.raises(ValueError, match=message):
            made(**options)


def mask(folder: Path, path: Path, **options: Any) -> npt.NDArray[Any]:
    with Image.open(path) as image:
        Image.new("RGB", image.size).save(folder / "of_mask.png")
    table = sh.Table({"image": sh.Images([folder / "of_mask.png"]), "mask": sh.Masks([path], **options)})
    with sh.Loader(table, capacity={"image": 1000, "mask": 1000}, num_workers=0) as masks:
        assert masks.spec["mask"].dtype == options.get("dtype", "uint8")
        return np.array(next(iter(masks))["mask"][0])


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_masks_of_few_bits_are_indices(tmp_path: Path, bits: int) -> None:
    indices = np.random.default_rng(bits).integers(0, 1 << bits, (20, 29), dtype=np.uint8)
    palette = Image.fromarray(indices, "P")
    palette.putpalette([value for entry in range(256) for value in (255 - entry, entry * 7 % 256, entry)])
    palette.save(tmp_path / "palette.png", bits=bits)
    packed = np.packbits(np.unpackbits(indices[..., None], axis=-1)[..., 8 - bits :].reshape(20, -1), axis=-1)
    grey = png(tmp_path / "grey.png", 29, bits, 0, list(packed))
    for path in (tmp_path / "palette.png", grey):
        for dtype in ("uint8", "uint16", "int32"):
            assert np.array_equal(mask(tmp_path, path, dtype=dtype), indices), (path, dtype)


def test_masks_of_16_bits_are_a_choice(tmp_path: Path) -> None:
    instances = np.random.default_rng(0).integers(0, 65536, (20, 29), dtype=np.uint16)
    Image.fromarray(instances).save(tmp_path / "mask.png")
    for dtype in ("uint16", "int32"):
        found = mask(tmp_path, tmp_path / "mask.png", dtype=dtype)
        assert found.dtype == dtype
        assert np.array_equal(found, instances)
    with pytest.raises(sh.DecodeError, match=r'has 16 bits; for such indices, give the mask dtype "uint16" or "int32"'):
        mask(tmp_path, tmp_path / "mask.png")
    with pytest.raises(ValueError, match="Masks: dtype must be one of 'uint8', 'uint16', 'int32', not 'int64'"):
        sh.Masks([], dtype="int64")


def test_deep_masks_follow_their_image(tmp_path: Path) -> None:
    instances = np.arange(40 * 50, dtype=np.uint16).reshape(40, 50) + 1000
    Image.fromarray(instances).save(tmp_path / "mask.png")
    colours = np.stack([instances >> 8, instances & 255, instances * 0], -1).astype(np.uint8)
    Image.fromarray(colours).save(tmp_path / "image.png")
    table = sh.Table(
        {
            "image": sh.Images([tmp_path / "image.png"] * 20),
            "mask": sh.Masks([tmp_path / "mask.png"] * 20, dtype="int32"),
        }
    )
    moves = [
        sh.RandomCrop(30, padding=4),
        sh.RandomHorizontalFlip(),
        sh.RandomRotation(180),
        sh.Resize((20, 25), "nearest"),
        sh.RandomPerspective(interpolation="nearest"),
    ]
    with sh.Loader(table, batch_size=20, transforms={"image": moves}, num_workers=0) as images:
        batch = next(iter(images))
        high, low = batch["image"][..., 0].astype(np.int32), batch["image"][..., 1]
        assert np.array_equal(batch["mask"], high * 256 + low)
        assert batch["mask"].max() > 255


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_arrays_of_any_depth_are_moved_and_normalised(dtype: str, channels: int) -> None:
    values = np.random.default_rng(channels).integers(0, 256, (3, 20, 30, channels)).astype(dtype)
    white = {"uint8": 255, "uint16": 65535, "float32": 1}[dtype]
    mean, std = [0.1, 0.2, 0.3, 0.4][:channels], [0.5, 0.6, 0.7, 0.8][:channels]
    transforms = [
        sh.CenterCrop(16),
        sh.RandomHorizontalFlip(1.0),
        sh.Pad(2, fill=7),
        sh.Normalize(mean, std),
        sh.ToLayout("CHW"),
    ]
    with sh.Loader(sh.Arrays({"x": values}), batch_size=3, transforms={"x": transforms}, num_workers=1) as loader:
        found = np.array(next(iter(loader))["x"])
    cropped = values[:, 2:18, 7:23][:, :, ::-1]
    padded = np.pad(cropped, [(0, 0), (2, 2), (2, 2), (0, 0)], constant_values=7).astype(np.float64)
    expected = ((padded / white - mean) / std).transpose(0, 3, 1, 2)
    assert found.dtype == np.float32
    # Roundings of the mean, of the deviation and of the result.
    assert np.abs(found - expected).max() <= np.abs(expected).max() * 2**-21


def test_deep_pixels_are_resized_as_by_pillow() -> None:
    values = np.random.default_rng(0).random((40, 50)).astype(np.float32) * 1000 - 300
    with sh.Loader(sh.Arrays({"x": values[None]}), transforms={"x": [sh.Resize((13, 17))]}, num_workers=0) as loader:
        found = np.array(next(iter(loader))["x"][0])
    theirs = np.asarray(Image.fromarray(values).resize((17, 13), Image.Resampling.BILINEAR))
    # Both round to float32 after either direction; a direction has at most 8 terms, whose weights add up to 1.
    assert np.abs(found - theirs).max() <= 16 * np.abs(values).max() * 2**-24


def test_a_fill_is_in_the_units_of_the_image() -> None:
    def pixels(dtype: str, fill: Any) -> npt.NDArray[Any]:
        source = sh.Arrays({"x": np.ones((1, 2, 2, 3), dtype)})
        with sh.Loader(source, transforms={"x": [sh.Pad(1, fill=fill)]}, num_workers=0) as loader:
            return np.array(next(iter(loader))["x"][0, 0, 0])

    assert pixels("uint16", (300, 2, 65535)).tolist() == [300, 2, 65535]
    assert pixels("float32", -0.5).tolist() == [-0.5] * 3
    for dtype, fill in (("uint8", 256), ("uint8", 0.5), ("uint16", 65536), ("uint16", -1)):
        with pytest.raises(ValueError, match=f"Pad: fill = {fill} must be a whole number from 0 to"):
            pixels(dtype, fill)
    with pytest.raises(ValueError, match="Pad: fill has 2 values, the image 3 channels"):
        pixels("uint8", (1, 2))


def test_what_has_no_meaning_is_refused_when_the_loader_is_made() -> None:
    def make(shape: tuple[int, ...], dtype: str, *transforms: sh.Transform) -> None:
        with sh.Loader(
            sh.Arrays({"x": np.zeros((1, *shape), dtype)}), transforms={"x": list(transforms)}, num_workers=0
        ):
            pass

    with pytest.raises(ValueError, match=r"ColorJitter: saturation and hue are of colours, and an image of 2 channels"):
        make((8, 8, 2), "uint8", sh.ColorJitter(hue=0.1))
    make((8, 8, 2), "uint8", sh.ColorJitter(brightness=0.1))
    with pytest.raises(ValueError, match="ColorJitter: takes uint8 images, not uint16 of 4 channels"):
        make((8, 8, 4), "uint16", sh.ColorJitter(brightness=0.1))
    with pytest.raises(ValueError, match=r"CenterCrop takes images of uint8, uint16 or float32 and of shape .*1 to 4"):
        make((8, 8, 5), "uint8", sh.CenterCrop(4))
