"""Train on real images through a loader: `make demo`.

Part 1 learns handwritten digits: scikit-learn's 1797 scans, written out as an ImageFolder of JPEG files. Part 2 reads
photographs of a usual size as fast as it can and says what limits it. No server, no graphics card, under 3 minutes.
"""

import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from sklearn.neural_network import MLPClassifier
from tqdm import tqdm, trange

import stokehold as sh
from images import write_digits, write_photos

DATA = Path(__file__).resolve().parent.parent / "demo-data"
WORKERS = 2
EPOCHS = 8
PHOTO_EPOCHS = 6
# Digits must not be mirrored, and only lightly cropped.
TRAIN = [sh.RandomResizedCrop(32, scale=(0.8, 1.0), ratio=(0.9, 1.1)), sh.ToDtype("float32", scale=True)]
HELD_OUT = [sh.Resize((32, 32)), sh.ToDtype("float32", scale=True)]
ENOUGH = 0.9


def main() -> int:
    """Runs both parts; a status other than 0 says that the classifier did not learn."""
    accuracy = train_on_digits()
    read_photos()
    if accuracy < ENOUGH:
        print(f"\nthe accuracy of {accuracy:.3f} is below {ENOUGH}: something is wrong with the data")
        return 1
    return 0


def train_on_digits() -> float:
    """Trains a small network and returns its accuracy on images it has not seen."""
    train, held_out = write_digits(DATA / "digits")
    source = sh.ImageFolder(train)
    classes = np.arange(len(source.classes))
    network = MLPClassifier(hidden_layer_sizes=(64,), learning_rate_init=2e-3, random_state=0)

    with sh.Loader(
        source, batch_size=32, shuffle=True, seed=0, drop_last=True, transforms={"image": TRAIN}, num_workers=WORKERS
    ) as loader:
        print(f"part 1: learn handwritten digits, {len(loader)} batches an epoch, {WORKERS} workers")
        began = time.perf_counter()
        for epoch in range(EPOCHS):
            loader.set_epoch(epoch)
            losses = []
            for batch in tqdm(loader, desc=f"epoch {epoch + 1}/{EPOCHS}", unit="batch"):
                network.partial_fit(gray(batch["image"]), np.asarray(batch["label"]), classes=classes)
                losses.append(network.loss_)
            print(f"  loss {np.mean(losses):.3f}")
        report(loader, time.perf_counter() - began)

    right = [network.predict(images) == labels for images, labels in batches_of(held_out)]
    accuracy = float(np.concatenate(right).mean())
    print(f"  accuracy on held-out images: {accuracy:.3f}")
    return accuracy


def batches_of(folder: Path) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yields the images and labels of a folder, in order."""
    with sh.Loader(
        sh.ImageFolder(folder), batch_size=64, transforms={"image": HELD_OUT}, num_workers=WORKERS
    ) as loader:
        for batch in loader:
            yield gray(batch["image"]), np.asarray(batch["label"])


def gray(images: np.ndarray) -> np.ndarray:
    """Returns one flat row of brightness for each (height, width, 3) image."""
    brightness: np.ndarray = np.asarray(images).mean(axis=-1)
    return brightness.reshape(len(images), -1)


def read_photos() -> None:
    """Reads photographs with nothing but the loader at work."""
    folder = write_photos(DATA / "photos")
    augment = [sh.RandomResizedCrop(224), sh.RandomHorizontalFlip()]
    with sh.Loader(
        sh.ImageFolder(folder), batch_size=32, shuffle=True, seed=0, transforms={"image": augment}, num_workers=WORKERS
    ) as loader:
        print(f"\npart 2: read photographs, {len(loader)} batches an epoch, decoded and cropped to 224x224")
        began = time.perf_counter()
        for epoch in trange(PHOTO_EPOCHS, desc="photos", unit="epoch"):
            loader.set_epoch(epoch)
            for batch in loader:
                batch["image"]
        report(loader, time.perf_counter() - began)


def report(loader: sh.Loader, seconds: float) -> None:
    """Prints how fast the loader was, how long the trainer waited, and what limits the pair of them."""
    stats = loader.stats()
    waited = stats["wait_seconds"]
    print(f"  {stats['samples'] / seconds:.0f} images/s; the trainer waited {waited:.2f} of {seconds:.2f} s for data")
    print(f"  {limit(stats, waited / seconds)}")


def limit(stats: dict[str, float], waiting: float) -> str:
    """Says in one sentence what limits the throughput."""
    if waiting < 0.1:
        return "Limit: the training step; the workers are ahead of it, so a faster loader would change nothing."
    stages = {name: stats[f"{name}_seconds"] for name in ("read", "decode", "transform")}
    slowest = max(stages, key=lambda name: stages[name])
    share = stages[slowest] / max(sum(stages.values()), 1e-9)
    return f"Limit: the workers, which spend {share:.0%} of their time on `{slowest}`; more cores would help."


if __name__ == "__main__":
    sys.exit(main())
