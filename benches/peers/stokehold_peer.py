"""stokehold: `Loader` over an `ImageFolder` or files that hold many images, or its decoder alone."""

from collections.abc import Iterator
from itertools import count

import decode
import harness
import stokehold as sh


def transforms(workload: str, dtype: str) -> list[sh.Transform]:
    """Returns the pipeline of a workload."""
    steps: list[sh.Transform] = {
        "W1": [sh.RandomResizedCrop(224), sh.RandomHorizontalFlip()],
        "W2": [sh.Resize(256), sh.CenterCrop(224)],
    }[workload]
    return steps if dtype == "u8" else [*steps, sh.Normalize(harness.MEAN, harness.STD), sh.ToLayout("CHW")]


def source(job: harness.Job) -> sh.Source:
    """Returns the images: a variant's source, or else the folder."""
    match job.variant:
        case "tar":
            return sh.WebDataset(str(job.data / "shards" / "*.tar"), {"image": "jpg", "label": "cls"}, cache=False)
        case "mds":
            return sh.Mds(job.data / "mds", {"image": "image", "label": "label"})
        case "parquet":
            return sh.Parquet(job.data / "images.parquet", images=["image"])
        case _:
            return sh.ImageFolder(job.data / "images")


def main() -> None:
    """Measures one variant."""
    job = harness.job()

    def batches() -> Iterator[dict[str, object]]:
        loader = sh.Loader(
            source(job),
            batch_size=harness.BATCH,
            # Row groups are read as a whole.
            shuffle="blocks" if job.variant == "parquet" else True,
            drop_last=len(job.files) >= harness.BATCH,
            transforms={"image": transforms(job.workload, job.dtype)},
            num_workers=job.workers,
        )
        for epoch in count():
            loader.set_epoch(epoch)
            for batch in loader:
                yield {"image": batch["image"]}

    if job.workload == "decode":
        decode.run(job, sh.decode_jpeg, ("stokehold",))
    else:
        harness.run(job, batches, lambda batch: len(batch["image"]), ("stokehold",))


if __name__ == "__main__":
    main()
