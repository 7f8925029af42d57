"""Reads tar files of samples at random, as the webdataset package and tar itself write them.

    .venv/bin/python examples/web_dataset.py

The files are made here, of scikit-learn's digits.
"""

import io
import json
import tarfile
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits
from sklearn.linear_model import SGDClassifier

import stokehold as sh


def write(folder: Path) -> None:
    """Writes shards of 600 samples, each of a PNG file, a class and some facts in JSON."""
    digits = load_digits()
    for shard, start in enumerate(range(0, len(digits.images), 600)):
        with tarfile.open(folder / f"digits-{shard:03d}.tar", "w") as tar:
            for number in range(start, min(start + 600, len(digits.images))):
                image = io.BytesIO()
                pixels = (digits.images[number] * 15.9).astype(np.uint8)
                Image.fromarray(pixels).convert("RGB").save(image, "PNG")
                facts = {"ink": float(digits.images[number].mean())}
                members = {
                    "png": image.getvalue(),
                    "cls": b"%d" % digits.target[number],
                    "json": json.dumps(facts).encode(),
                }
                for suffix, content in members.items():
                    info = tarfile.TarInfo(f"{number:06d}.{suffix}")
                    info.size = len(content)
                    tar.addfile(info, io.BytesIO(content))


def main() -> None:
    """Trains on samples in a random order over all shards, and tests on the last one."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write(folder)
        fields: dict[str, str | sh.Member] = {
            "image": "jpg;png",
            "label": "cls",
            "ink": sh.Member("json", value="ink", dtype="float32"),
        }
        train = sh.WebDataset(f"{name}/digits-{{000..001}}.tar", fields, cache=False)
        test = sh.WebDataset(f"{name}/digits-002.tar", fields, cache=False)
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
