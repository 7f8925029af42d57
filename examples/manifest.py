"""A CSV file as a source: paths below a folder, labels by name; split, filtered, and with one more field."""

import csv
from pathlib import Path

import numpy as np

import stokehold as sh
from images import write_digits

NAMES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


def main() -> None:
    """Writes a manifest of handwritten digits, and goes through a part of it."""
    folder, _ = write_digits(Path(__file__).resolve().parent.parent / "demo-data" / "digits")
    manifest = folder.parent / "digits.csv"
    with manifest.open("w", newline="") as file:
        lines = csv.writer(file)
        lines.writerow(["file", "digit"])
        lines.writerows(
            (f"{path.parent.name}/{path.name}", NAMES[int(path.parent.name)]) for path in folder.glob("*/*")
        )

    columns = {"image": sh.PathColumn(column="file"), "label": sh.LabelColumn(NAMES, column="digit")}
    source = sh.Csv(manifest, columns, root=folder)
    brightness = np.linspace(0, 1, len(source), dtype=np.float32)
    train, valid = source.with_columns({"weight": brightness}).split([0.9, 0.1], seed=1)
    small = train.filter(lambda label: label < 3, "label")

    transforms = {"image": [sh.RandomResizedCrop(32), sh.ToLayout("CHW")]}
    with sh.Loader(small, batch_size=32, shuffle=True, transforms=transforms, num_workers=2) as loader:
        names = {loader.classes[label] for batch in loader for label in batch["label"]}
    print(f"{len(source)} lines; {len(train)} to train, {len(valid)} to validate; {len(small)} of {sorted(names)}")


if __name__ == "__main__":
    main()
