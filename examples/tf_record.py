"""Reads TFRecord files of TensorFlow's examples at random, without TensorFlow.

    .venv/bin/python examples/tf_record.py

The files are made here, of scikit-learn's digits, by the tfrecord package.
"""

import io
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits
from sklearn.linear_model import SGDClassifier
from tfrecord import TFRecordWriter

import stokehold as sh


def write(folder: Path) -> None:
    """Writes shards of 600 examples, each of a PNG file, a class and the ink in each row of the picture."""
    digits = load_digits()
    for shard, start in enumerate(range(0, len(digits.images), 600)):
        writer = TFRecordWriter(str(folder / f"digits-{shard:05d}-of-00003"))
        for pixels, label in zip(digits.images[start : start + 600], digits.target[start : start + 600], strict=True):
            image = io.BytesIO()
            Image.fromarray((pixels * 15.9).astype(np.uint8)).convert("RGB").save(image, "PNG")
            writer.write(
                {
                    "image/encoded": (image.getvalue(), "byte"),
                    "image/class/label": (int(label), "int"),
                    "ink": (pixels.mean(axis=1).tolist(), "float"),
                }
            )
        writer.close()


def main() -> None:
    """Trains on samples in a random order over two shards, and tests on the third."""
    with tempfile.TemporaryDirectory() as name:
        write(Path(name))
        fields: dict[str, str | sh.Feature] = {
            "image": "image/encoded",
            "label": sh.Feature("image/class/label", "label"),
            "ink": sh.Feature("ink", shape=(8,)),
        }
        train = sh.TFRecord(f"{name}/digits-{{00000..00001}}-of-00003", fields, cache=False)
        test = sh.TFRecord(f"{name}/digits-00002-of-00003", fields, cache=False)
        print(train)
        model = SGDClassifier(random_state=0)
        transforms = {"image": [sh.CenterCrop(8), sh.ToDtype("float32", scale=True)]}
        with sh.Loader(train, batch_size=100, shuffle=True, transforms=transforms, num_workers=2) as loader:
            for _ in range(20):
                for batch in loader:
                    pixels = batch["image"][..., 0].reshape(len(batch["label"]), -1)
                    model.partial_fit(np.column_stack([pixels, batch["ink"]]), batch["label"], classes=range(10))
        with sh.Loader(test, batch_size=len(test), transforms=transforms, num_workers=2) as loader:
            batch = next(iter(loader))
            pixels = batch["image"][..., 0].reshape(len(test), -1)
            accuracy = model.score(np.column_stack([pixels, batch["ink"]]), batch["label"])
        print(f"{accuracy:.0%} of {len(test)} held-out digits")


if __name__ == "__main__":
    main()
