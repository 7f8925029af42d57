"""`stokehold.torch.from_torchvision` beside torchvision's own way to the same batches."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
v2 = pytest.importorskip("torchvision.transforms.v2")
v1 = pytest.importorskip("torchvision.transforms")
Image = pytest.importorskip("PIL.Image")
from torch.utils.data import DataLoader, Subset
from torchvision.datasets import ImageFolder

from stokehold.torch import adopt, from_torchvision

pytestmark = pytest.mark.usefixtures("torch_started")
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
ONE = 2.1 / 255 / min(STD)
"""Two steps of a byte after normalisation: resizing rounds to bytes twice, in an order of its own, so that it is within
one of the exact value; so is Pillow's, and torchvision's on a processor with AVX2 and without."""


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("torchvision")
    for number in range(18):
        height, width = 60 + number, 90 - number
        y, x = np.mgrid[0:height, 0:width]
        pixels = np.stack([x * 255 // width, y * 255 // height, (x + y + 9 * number) % 256], -1).astype(np.uint8)
        (root / f"class {number % 3}").mkdir(exist_ok=True)
        Image.fromarray(pixels).save(root / f"class {number % 3}" / f"{number}.png")
    return root


CHAINS = {
    "classic": v1.Compose([v1.Resize(56), v1.CenterCrop(48), v1.ToTensor(), v1.Normalize(MEAN, STD)]),
    "v2": v2.Compose(
        [
            v2.ToImage(),
            v2.RandomHorizontalFlip(1.0),
            v2.Resize((40, 44)),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize(MEAN, STD),
        ]
    ),
    "bytes": v2.Compose([v2.PILToTensor(), v2.CenterCrop(32), v2.RandomVerticalFlip(1.0), v2.Pad(2, fill=7)]),
}


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("name", CHAINS)
def test_batches_are_torchvisions(root: Path, name: str, workers: int) -> None:
    dataset = ImageFolder(root, CHAINS[name])
    part = Subset(Subset(dataset, range(17, 0, -1)), range(2, 12))
    for each in (dataset, part):
        theirs = list(DataLoader(each, batch_size=4))
        with from_torchvision(each, 4, num_workers=workers) as loader:
            ours = list(loader)
            assert len(loader) == len(theirs)
        for one, other in zip(ours, theirs, strict=True):
            assert one[0].dtype == other[0].dtype
            assert one[0].shape == other[0].shape
            assert torch.equal(one[1], other[1])
            torch.testing.assert_close(one[0], other[0], rtol=0, atol=0 if name == "bytes" else ONE)


def test_random_chains_are_a_function_of_torchs_seed(root: Path) -> None:
    chain = v2.Compose(
        [
            v2.RandomResizedCrop(24),
            v2.RandomHorizontalFlip(),
            v2.ColorJitter(0.4, 0.4, 0.4, 0.1),
            v2.RandomRotation(10),
            v2.TrivialAugmentWide(),
            v2.ToImage(),
            v2.ToDtype(torch.float32, scale=True),
            v2.RandomErasing(value="random"),
        ]
    )
    results = []
    for workers in (0, 1, 2):
        torch.manual_seed(3)
        with from_torchvision(ImageFolder(root, chain), 5, shuffle=True, num_workers=workers) as loader:
            results.append(
                [torch.cat([part.flatten().double() for part in batch]) for _ in range(2) for batch in loader]
            )
    for other in results[1:]:
        assert all(torch.equal(one, two) for one, two in zip(results[0], other, strict=True))
    assert not torch.equal(results[0][0], results[0][4])


def test_a_state_goes_on_with_other_workers(root: Path) -> None:
    dataset = ImageFolder(root, CHAINS["bytes"])

    def made(workers: int) -> Any:
        return from_torchvision(dataset, 4, shuffle=True, seed=5, num_workers=workers)

    with made(2) as loader:
        expected = [batch[1].tolist() for batch in loader]
    with made(1) as loader:
        iterator = iter(loader)
        assert [next(iterator)[1].tolist() for _ in range(2)] == expected[:2]
        state = loader.state_dict()
    with made(2) as loader:
        loader.load_state_dict(state)
        assert [batch[1].tolist() for batch in loader] == expected[2:]


def custom(path: str) -> Any:
    return Image.open(path)


@pytest.mark.parametrize("told", [True, False])
def test_ranks_share_an_epoch_whatever_their_generators(
    root: Path, told: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset, read = ImageFolder(root, CHAINS["bytes"]), []
    for rank in range(2):
        torch.manual_seed(rank)
        monkeypatch.setenv("RANK", str(rank))
        monkeypatch.setenv("WORLD_SIZE", "2" if not told else "1")
        options = {"rank": rank, "world_size": 2} if told else {}
        with from_torchvision(dataset, 4, shuffle=True, num_workers=0, **options) as made:
            read += [int(index) for batch in made.loader for index in batch.indices]
    assert sorted(read) == list(range(18))


def test_what_is_not_native_says_so(root: Path) -> None:
    to_tensor = v1.ToTensor()
    for dataset, message in (
        (ImageFolder(root, v1.Compose([v1.Lambda(np.asarray), to_tensor])), "Lambda has no native counterpart"),
        (ImageFolder(root, v2.Compose([v2.CenterCrop(8)])), "cannot be batched"),
        (ImageFolder(root, to_tensor, target_transform=abs), "target_transform has no native counterpart"),
        (ImageFolder(root, to_tensor, loader=custom), "a loader of its own"),
        (ImageFolder(root, v2.Compose([v2.Resize(8, antialias=False), to_tensor])), "Resize without antialias"),
        ([1, 2, 3], "list is no torchvision ImageFolder"),
    ):
        with pytest.raises(ValueError, match=message):
            from_torchvision(dataset)


def test_frameworks_take_it_as_a_loader_of_pytorchs(root: Path) -> None:
    with from_torchvision(ImageFolder(root, CHAINS["bytes"]), 4, shuffle=True, seed=5, num_workers=0) as native:
        expected = [labels.tolist() for _ in range(2) for _, labels in native]
        loader = adopt(native)
        assert isinstance(loader, DataLoader)
        loader.set_epoch(0)
        assert [labels.tolist() for _ in range(2) for _, labels in loader] == expected
        native.set_epoch(1)
        assert [labels.tolist() for _, labels in native] == expected[5:]
