"""megatron-energon: the set's tar shards beside an index of its own, which is written once."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from megatron.energon import (
    DefaultTaskEncoder,
    ImageClassificationSample,
    WorkerConfig,
    get_loader,
    get_train_dataset,
    stateless,
)

import harness
from torch_peer import of_bytes


class Encoder(DefaultTaskEncoder[Any, Any, Any, Any]):
    """Decodes and transforms samples."""

    # Members stay bytes: its own decoder would make floats of whole images.
    decoder = None

    def __init__(self, job: harness.Job) -> None:
        super().__init__()
        self.load = of_bytes(job)

    @stateless  # type: ignore[untyped-decorator]
    def encode_sample(self, sample: ImageClassificationSample) -> ImageClassificationSample:
        """Returns a sample with its pixels."""
        sample.image = self.load(sample.image)
        sample.label = int(sample.label)
        return sample


def write(folder: Path, job: harness.Job) -> None:
    """Writes the index, by the tool that makes it."""
    partly = folder.with_suffix(".partial")
    shutil.rmtree(partly, ignore_errors=True)
    shutil.copytree(job.data / "shards", partly)
    options = ["--non-interactive", "--no-progress", "--num-workers", "2", "--split-ratio", "1,0,0"]
    sample = ["--sample-type", "ImageClassificationSample", "--field-map", '{"image": "jpg", "label": "cls"}']
    tool = str(Path(sys.prefix) / "bin" / "energon")
    subprocess.run([tool, "prepare", *options, *sample, str(partly)], check=True, stdout=subprocess.DEVNULL)
    partly.rename(folder)


def main() -> None:
    """Measures one variant."""
    job = harness.job()
    folder = job.data / "energon"
    if job.prepare:
        if not folder.exists():
            write(folder, job)
        return

    def batches() -> Iterator[Any]:
        dataset = get_train_dataset(
            folder,
            worker_config=WorkerConfig(rank=0, world_size=1, num_workers=job.workers),
            batch_size=harness.BATCH,
            shuffle_buffer_size=500,
            max_samples_per_sequence=100,
            task_encoder=Encoder(job),
        )
        for batch in get_loader(dataset):
            yield {"image": batch.image}

    harness.run(job, batches, lambda batch: len(batch["image"]), ("megatron-energon", "torch", "torchvision"))


if __name__ == "__main__":
    main()
