"""WebDataset: the same pixels as torch with Pillow or torchvision.io, from tar shards."""

import io
from collections.abc import Callable, Iterator
from typing import Any

import webdataset
from PIL import Image

import harness
from torch_peer import of_bytes, pil_transform


def pillow(job: harness.Job) -> Callable[[bytes], Any]:
    """Returns what makes pixels of a file's bytes by Pillow."""
    apply = pil_transform(job)
    return lambda data: apply(Image.open(io.BytesIO(data)).convert("RGB"))


def main() -> None:
    """Measures one variant."""
    job = harness.job()
    load = pillow(job) if job.variant == "pil" else of_bytes(job)

    def sample(item: tuple[bytes, bytes]) -> tuple[Any, int]:
        return load(item[0]), int(item[1])

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
