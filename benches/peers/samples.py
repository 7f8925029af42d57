"""One sample with simplejpeg and Pillow, for loaders that bring no images of their own."""

import random
from pathlib import Path
from typing import Any

import numpy as np
import simplejpeg
from PIL import Image

import harness
from boxes import draw_box

BILINEAR = Image.Resampling.BILINEAR
MEAN = np.array(harness.MEAN, np.float32) * 255
STD = np.array(harness.STD, np.float32) * 255


def load(path: str, workload: str, dtype: str) -> Any:
    """Returns a decoded and transformed image."""
    image = Image.fromarray(simplejpeg.decode_jpeg(Path(path).read_bytes()))
    if workload == "W1":
        left, top, width, height = draw_box(*image.size)
        image = image.resize((224, 224), BILINEAR, box=(left, top, left + width, top + height))
        if random.random() < 0.5:
            image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    else:
        scale = 256 / min(image.size)
        image = image.resize((round(image.width * scale), round(image.height * scale)), BILINEAR)
        left, top = (image.width - 224) // 2, (image.height - 224) // 2
        image = image.crop((left, top, left + 224, top + 224))
    pixels = np.asarray(image)
    if dtype == "f32":
        pixels = np.ascontiguousarray(((pixels - MEAN) / STD).transpose(2, 0, 1))
    return pixels
