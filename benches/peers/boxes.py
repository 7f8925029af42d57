"""The random box of RandomResizedCrop, for peers that bring none."""

import math
import random

import harness


def draw_box(width: int, height: int) -> tuple[int, int, int, int]:
    """Returns left, top, width and height, drawn as torchvision draws them."""
    for _ in range(10):
        area = width * height * random.uniform(*harness.SCALE)
        ratio = math.exp(random.uniform(math.log(harness.RATIO[0]), math.log(harness.RATIO[1])))
        box_width, box_height = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if 0 < box_width <= width and 0 < box_height <= height:
            left, top = random.randint(0, width - box_width), random.randint(0, height - box_height)
            return left, top, box_width, box_height
    side = min(width, height)
    return (width - side) // 2, (height - side) // 2, side, side
