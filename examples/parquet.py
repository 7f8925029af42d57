"""Trains on rows of Parquet files: numbers and images, read in blocks that are shuffled.

    .venv/bin/python examples/parquet.py

The files are made here, of scikit-learn's digits, as pyarrow or Hugging Face `datasets` would write yours.
"""

import io
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image
from sklearn.datasets import load_digits
from sklearn.linear_model import SGDClassifier

import stokehold as sh


def png(pixels: np.ndarray) -> bytes:
    """Returns an image file."""
    file = io.BytesIO()
    Image.fromarray((pixels * 15.9).astype(np.uint8)).convert("RGB").save(file, "PNG")
    return file.getvalue()


def write(folder: Path) -> None:
    """Writes two files, in folders that say which part of the digits they hold."""
    digits = load_digits()
    for part, rows in (("train", slice(0, 1400)), ("test", slice(1400, None))):
        path = folder / f"part={part}" / "digits.parquet"
        path.parent.mkdir()
        columns = {
            "image": [png(image) for image in digits.images[rows]],
            "label": digits.target[rows].astype(np.int64),
            "ink": digits.images[rows].mean(axis=(1, 2)).astype(np.float32),
        }
        pq.write_table(pa.table(columns), path, row_group_size=100)


def main() -> None:
    """Trains on one file and tests on the other."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write(folder)
        train = sh.Parquet(folder / "part=train", columns=["image", "label", "ink"], images=["image"], cache="1MiB")
        print(train)
        transforms = {"image": [sh.RandomCrop(8, padding=1), sh.ToDtype("float32", scale=True)]}
        model = SGDClassifier(random_state=0)
        with sh.Loader(train, batch_size=100, shuffle="blocks", transforms=transforms, num_workers=2) as loader:
            for _ in range(20):
                for batch in loader:
                    pixels = batch["image"][..., 0].reshape(len(batch["label"]), -1)
                    model.partial_fit(np.column_stack([pixels, batch["ink"]]), batch["label"], classes=range(10))
        test = sh.Parquet(folder / "part=test", images=["image"])
        chain = {"image": [sh.CenterCrop(8), sh.ToDtype("float32", scale=True)]}
        with sh.Loader(test, batch_size=len(test), transforms=chain, num_workers=2) as loader:
            batch = next(iter(loader))
            pixels = batch["image"][..., 0].reshape(len(test), -1)
            accuracy = model.score(np.column_stack([pixels, batch["ink"]]), batch["label"])
        print(f"{accuracy:.0%} of {len(test)} held-out digits, from {test.fields}")


if __name__ == "__main__":
    main()
