"""A Hugging Face dataset of images, loaded without Python in the workers."""

from pathlib import Path

import datasets

import stokehold as sh
from images import write_digits

DATA = Path(__file__).resolve().parent.parent / "demo-data"
TRANSFORMS = {"image": [sh.RandomResizedCrop(32), sh.Normalize(sh.IMAGENET_MEAN, sh.IMAGENET_STD), sh.ToLayout("CHW")]}


def main() -> None:
    """Saves the digits as Hugging Face does, and loads what was chosen of them."""
    saved = DATA / "digits-hugging-face"
    if not saved.exists():
        save(saved)
    # A dataset, with all that has been chosen of it;
    chosen = datasets.load_from_disk(str(saved)).shuffle(seed=0).select(range(1000))
    train = sh.HuggingFace(chosen)
    # or its folder, for which the package datasets is not needed.
    whole = sh.HuggingFace(saved, columns=["image", "label"])

    for source in (train, whole):
        with sh.Loader(source, batch_size=64, shuffle=True, transforms=TRANSFORMS, num_workers=2) as loader:
            images = sum(len(batch["label"]) for batch in loader)
        print(f"{source}: {images} images of the classes {', '.join(source.classes)}")


def save(folder: Path) -> None:
    """Writes the digits as a dataset of their bytes and labels."""
    train, _ = write_digits(DATA / "digits")
    files = sorted(train.glob("*/*.jpg"))
    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=list("0123456789"))})
    columns = {
        "image": [{"bytes": file.read_bytes(), "path": None} for file in files],
        "label": [file.parent.name for file in files],
    }
    datasets.disable_progress_bars()
    datasets.Dataset.from_dict(columns, features=features).save_to_disk(str(folder))


if __name__ == "__main__":
    main()
