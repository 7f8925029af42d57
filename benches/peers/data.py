"""Builds the image sets that the peers are measured on, from photographs that public packages ship.

    .venv/bin/python benches/peers/data.py [--set imagenet ...]

Every set lies under target/peers/data/<set>: `images/<class>/<number>.jpg`, the same as `shards/<number>.tar`
(WebDataset's layout), and `about.json` with what was made of what. Packages are downloaded by name with apt-get and
pip; one that cannot be had is left out, and named. Pictures are cropped, shrunk and mirrored, never enlarged, and
nothing is added to them. The bytes depend on the pictures, the encoder and the names alone.
"""

import argparse
import fnmatch
import io
import json
import random
import shutil
import statistics
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from PIL import Image, features

HERE = Path(__file__).parent
ROOT = HERE.parents[1] / "target" / "peers"
CLASSES = 20
SHARD = 500
# Fewer differing bits of 64 than this, and two pictures are copies of each other.
COPY = 6
# A picture below this many pixels cannot give an ImageNet-like one.
SMALLEST = 120_000

Image.MAX_IMAGE_PIXELS = None


@dataclass(frozen=True)
class Kind:
    """What a set is made of; sizes are (width, height)."""

    count: int
    quality: tuple[int, int]
    # The size that about half of the files have, in either orientation.
    size: tuple[int, int]
    # All have that size, and only pictures that are large enough are used.
    exact: bool = False
    progressive: bool = False
    # How much of the shrinking that a picture allows may be left out.
    shrink: float = 1.1


KINDS = {
    "imagenet": Kind(2000, (95, 96), (500, 375)),
    "small": Kind(400, (85, 85), (500, 375), shrink=2.0),
    "progressive": Kind(400, (95, 96), (500, 375), progressive=True),
    "large": Kind(60, (95, 97), (1600, 1200), exact=True),
    "huge": Kind(24, (92, 95), (4000, 3000), exact=True, shrink=1.3),
}


def main() -> None:
    """Builds the sets that are asked for and prints what they are."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--set", nargs="+", choices=KINDS, default=list(KINDS), help="which sets (default: all)")
    for name in parser.parse_args().set:
        print(json.dumps(ensure(name), indent=1))


def ensure(name: str) -> dict[str, object]:
    """Builds a set unless it is there, and returns what `about.json` says."""
    folder = ROOT / "data" / name
    about = folder / "about.json"
    if not about.exists():
        shutil.rmtree(folder, ignore_errors=True)
        pictures, missing = collect()
        made = build(KINDS[name], name, pictures, folder)
        about.write_text(json.dumps({**made, "packages that could not be had": missing}, indent=1) + "\n")
    said: dict[str, object] = json.loads(about.read_text())
    return said


def collect() -> tuple[list[Path], list[str]]:
    """Returns the distinct photographs, and the packages that could not be had."""
    pictures, missing, hashes = [], [], list[int]()
    for package in tomllib.loads((HERE / "pictures.toml").read_text())["package"]:
        folder = ROOT / "pictures" / package["name"]
        try:
            unpack(package, folder)
        except (OSError, subprocess.CalledProcessError) as error:
            print(f"{package['name']} cannot be had: {error}", file=sys.stderr)
            missing.append(package["name"])
            continue
        found = 0
        # The largest of several copies counts.
        files = (path for path in folder.rglob("*") if wanted(package, path))
        for path in sorted(files, key=lambda path: (-path.stat().st_size, path.name)):
            if distinct(path, hashes):
                pictures.append(path)
                found += 1
        print(f"{package['name']}: {found} pictures", file=sys.stderr)
    return pictures, missing


def unpack(package: dict[str, str], folder: Path) -> None:
    """Downloads a package and unpacks its files into a folder."""
    if folder.exists():
        return
    downloads = ROOT / "packages"
    downloads.mkdir(parents=True, exist_ok=True)
    partial = folder.with_name(folder.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    name = package["name"]
    if package["registry"] == "debian":
        if not list(downloads.glob(f"{name}_*.deb")):
            run(["apt-get", "download", "--quiet", name], downloads)
        run(["dpkg", "-x", str(max(downloads.glob(f"{name}_*.deb"))), str(partial)], downloads)
        for resources in sorted(partial.rglob("*.rcc")):
            cut_out(resources, partial)
    else:
        project, version = name.replace("-", "_").split("==")
        if not list(downloads.glob(f"{project}-{version}-*.whl")):
            options = ["--quiet", "--no-deps", "--only-binary", ":all:", "--disable-pip-version-check"]
            run([sys.executable, "-m", "pip", "download", *options, name], downloads)
        with zipfile.ZipFile(next(downloads.glob(f"{project}-{version}-*.whl"))) as wheel:
            for member in wheel.namelist():
                wheel.extract(member, partial)
    partial.rename(folder)


def run(command: list[str], folder: Path) -> None:
    """Runs a command and raises if it fails."""
    subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)


def cut_out(resources: Path, folder: Path) -> None:
    """Writes the WebP files that lie in a Qt resource file, unchanged, each as a file of its own."""
    data, number, at = resources.read_bytes(), 0, 0
    while (at := data.find(b"RIFF", at)) >= 0:
        if data[at + 8 : at + 12] == b"WEBP":
            end = at + 8 + int.from_bytes(data[at + 4 : at + 8], "little")
            (folder / f"{resources.stem}-{number}.webp").write_bytes(data[at:end])
            number += 1
        at += 4


def wanted(package: dict[str, list[str]], path: Path) -> bool:
    """Tells whether a file is one of a package's photographs."""
    name = str(path.with_suffix("")) if path.suffix == ".webp" else str(path)
    name = name.rsplit("/", 1)[-1] if path.suffix == ".webp" else name
    return (
        path.is_file()
        and any(fnmatch.fnmatch(name, pattern) for pattern in package["files"])
        and not any(fnmatch.fnmatch(name, pattern) for pattern in package.get("except", []))
    )


def distinct(path: Path, hashes: list[int]) -> bool:
    """Tells whether a picture is large enough and no copy of an earlier one, and remembers it."""
    with Image.open(path) as image:
        if image.width * image.height < SMALLEST:
            return False
        image.draft("L", (64, 64))
        grey = image.convert("L").resize((9, 8), Image.Resampling.BILINEAR)
    values = grey.tobytes()
    bits = sum(
        1 << (8 * row + column)
        for row in range(8)
        for column in range(8)
        if values[9 * row + column] < values[9 * row + column + 1]
    )
    if any((bits ^ other).bit_count() < COPY for other in hashes):
        return False
    hashes.append(bits)
    return True


def build(kind: Kind, name: str, pictures: list[Path], folder: Path) -> dict[str, object]:
    """Writes a set and returns its statistics."""
    usable = [path for path in pictures if not kind.exact or fits(path, kind.size)]
    numbers = [[number for number in range(kind.count) if number % len(usable) == at] for at in range(len(usable))]
    sizes, bytes_each, samplings = [], [], {"4:2:0": 0, "4:4:4": 0, "grey": 0}
    for path, mine in zip(usable, numbers, strict=True):
        with Image.open(path) as opened:
            picture = opened.convert("RGB")
        for number in mine:
            random_ = random.Random(f"{name} {number}")
            cut = derive(picture, kind, random_)
            sampling = random_.choices(list(samplings), [79, 20, 1])[0]
            if sampling == "grey":
                cut = cut.convert("L")
            file = folder / "images" / f"class{number % CLASSES:02}" / f"{number:05}.jpg"
            file.parent.mkdir(parents=True, exist_ok=True)
            options = {} if sampling == "grey" else {"subsampling": sampling}
            quality = random_.randint(*kind.quality)
            cut.save(file, "JPEG", quality=quality, progressive=kind.progressive, **options)
            samplings[sampling] += 1
            sizes.append(cut.size)
            bytes_each.append(file.stat().st_size)
    write_shards(folder)
    return {
        "set": name,
        "files": len(sizes),
        "distinct pictures": len(usable),
        "mean kB": round(statistics.mean(bytes_each) / 1e3, 1),
        "median kB": round(statistics.median(bytes_each) / 1e3, 1),
        "p10 and p90 kB": [round(part / 1e3, 1) for part in statistics.quantiles(bytes_each, n=10)[::8]],
        "mean width": round(statistics.mean(size[0] for size in sizes)),
        "mean height": round(statistics.mean(size[1] for size in sizes)),
        "mean kpx": round(statistics.mean(size[0] * size[1] for size in sizes) / 1e3, 1),
        "samplings": samplings,
        "kind": asdict(kind),
        "encoder": f"Pillow {Image.__version__}, libjpeg-turbo {features.version('libjpeg_turbo')}",
    }


def fits(path: Path, size: tuple[int, int]) -> bool:
    """Tells whether a picture is at least so large, in the set's orientation."""
    with Image.open(path) as image:
        return bool(image.width >= size[0] and image.height >= size[1])


def derive(picture: Image.Image, kind: Kind, random_: random.Random) -> Image.Image:
    """Returns a part of a picture, shrunk by a random factor and perhaps mirrored."""
    width, height = target(picture, kind, random_)
    most = min(picture.width / width, picture.height / height)
    # A photograph of millions of pixels has little detail a pixel, so it is shrunk more, as published sets did.
    least = most / kind.shrink if not kind.exact else 1.0
    factor = random_.uniform(max(1.0, least), max(1.0, most if not kind.exact else min(most, kind.shrink)))
    part_width, part_height = min(picture.width, round(width * factor)), min(picture.height, round(height * factor))
    left = random_.randint(0, picture.width - part_width)
    top = random_.randint(0, picture.height - part_height)
    part = picture.crop((left, top, left + part_width, top + part_height))
    if part.size != (width, height):
        part = part.resize((width, height), Image.Resampling.LANCZOS)
    return part.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if random_.random() < 0.5 else part


def target(picture: Image.Image, kind: Kind, random_: random.Random) -> tuple[int, int]:
    """Draws a size: half of them the set's own, the others of any shape around it; never beyond the picture."""
    width, height = kind.size
    if not kind.exact:
        if random_.random() < 0.5:
            area = random_.lognormvariate(0.24, 0.35) * width * height
            ratio = random_.lognormvariate(0.2, 0.25)
            width, height = round((area * ratio) ** 0.5), round((area / ratio) ** 0.5)
        if random_.random() < 0.25:
            width, height = height, width
    scale = min(1.0, picture.width / width, picture.height / height)
    return max(1, int(width * scale)), max(1, int(height * scale))


def write_shards(folder: Path) -> None:
    """Writes the images as tar files: `<number>.jpg` and `<number>.cls` for each."""
    shards = folder / "shards"
    shards.mkdir()
    files = sorted((folder / "images").rglob("*.jpg"), key=lambda file: file.name)
    for start in range(0, len(files), SHARD):
        with tarfile.open(shards / f"{start // SHARD:05}.tar", "w") as tar:
            for name, data in members(files[start : start + SHARD]):
                member = tarfile.TarInfo(name)
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))


def members(files: list[Path]) -> Iterator[tuple[str, bytes]]:
    """Yields the names and the bytes of a shard's members."""
    for file in files:
        yield file.name, file.read_bytes()
        yield f"{file.stem}.cls", str(int(file.parent.name.removeprefix("class"))).encode()


if __name__ == "__main__":
    main()
