"""WebDataset: the same pixels as torch + Pillow, from tar shards."""

import io
from collections.abc import Iterator
from typing import Any

import webdataset
from PIL import Image

import harness
from torch_peer import pil_transform


def main() -> None:
    """Measures one variant."""
    job = harness.job()
    apply = pil_transform(job)

    def sample(item: tuple[bytes, bytes]) -> tuple[Any, int]:
        image, label = item
        return apply(Image.open(io.BytesIO(image)).convert("RGB")), int(label)

    def batches() -> Iterator[Any]:
        shards = sorted(str(path) for path in (job.data / "shards").glob("*.tar"))
        dataset = (
            webdataset.WebDataset(shards, resampled=True, shardshuffle=False, nodesplitter=webdataset.split_by_node)
            .shuffle(500)
            .to_tuple("jpg", "cls")
            .map(sample)
            .batched(harness.BATCH, partial=False)
        )
        return iter(webdataset.WebLoader(dataset, batch_size=None, num_workers=job.workers))

    harness.run(job, batches, lambda batch: len(batch[0]), ("webdataset", "torch", "torchvision", "pillow"))


if __name__ == "__main__":
    main()
