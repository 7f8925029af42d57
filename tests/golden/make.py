"""Makes the images of the golden digests, once: from photographs that scikit-learn ships, in every format that is read.

The files are kept in the repository, because an encoder of another version would write other bytes.
"""

from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_sample_images

HERE = Path(__file__).parent


def main() -> None:
    """Writes the files beside this one."""
    china, flower = (Image.fromarray(pixels) for pixels in load_sample_images().images)
    small = china.resize((96, 72), Image.Resampling.LANCZOS)
    grey = small.convert("L")
    deep = Image.fromarray((np.asarray(grey, np.uint16) * 257 + 91).astype(np.uint16))
    exif = Image.Exif()
    exif[0x0112] = 6
    jpegs = {
        "420": {"subsampling": "4:2:0"},
        "422": {"subsampling": "4:2:2"},
        "444": {"subsampling": "4:4:4"},
        "progressive": {"progressive": True},
        "restart": {"restart_marker_blocks": 5},
        "turned": {"exif": exif},
    }
    files = {f"jpeg/{name}.jpg": (small, {"quality": 90, **options}) for name, options in jpegs.items()} | {
        "jpeg/grey.jpg": (grey, {"quality": 90}),
        "jpeg/cmyk.jpg": (small.convert("CMYK"), {"quality": 90}),
        "png/rgb.png": (small, {}),
        "png/rgba.png": (with_alpha(small), {}),
        "png/palette.png": (small.quantize(64), {}),
        "png/grey.png": (grey, {}),
        "png/grey16.png": (deep, {}),
        "png/one_bit.png": (grey.convert("1"), {}),
        "webp/lossy.webp": (small, {"quality": 80}),
        "webp/lossless.webp": (small, {"lossless": True}),
        "webp/alpha.webp": (with_alpha(small), {"quality": 80}),
        "gif/palette.gif": (small.quantize(64), {}),
        "bmp/rgb.bmp": (small, {}),
        "bmp/palette.bmp": (small.quantize(64), {}),
        "tiff/rgb.tif": (small, {}),
        "tiff/lzw.tif": (small, {"compression": "tiff_lzw"}),
        "tiff/grey.tif": (grey, {}),
        "pnm/rgb.ppm": (small, {}),
        "pnm/grey.pgm": (grey, {}),
        "masks/palette.png": (small.quantize(7), {}),
        "masks/grey.png": (grey.point(lambda value: value // 32), {}),
    }
    for name, picture in {"china": china, "flower": flower}.items():
        for width, height in [(160, 120), (99, 131)]:
            cut = picture.crop((40, 30, 40 + width * 2, 30 + height * 2)).resize((width, height))
            files[f"photos/{name}/{width}x{height}.jpg"] = (cut, {"quality": 92, "subsampling": "4:2:0"})
    for name, (image, options) in files.items():
        path = HERE / name if name.startswith("photos") else HERE / "formats" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        image.save(path, **options)


def with_alpha(image: Image.Image) -> Image.Image:
    """Returns the image with an alpha channel that is neither 0 nor 255 everywhere."""
    alpha = np.linspace(0, 255, image.height * image.width).astype(np.uint8).reshape(image.height, image.width)
    return Image.merge("RGBA", [*image.split(), Image.fromarray(alpha)])


if __name__ == "__main__":
    main()
