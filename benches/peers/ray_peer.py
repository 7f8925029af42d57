"""Ray Data from a Parquet file with the images' bytes, which is written once beside the set."""

import logging
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import ray

import harness
from torch_peer import of_bytes

ROWS = 100
# An epoch reads the file as often, so that its beginning counts little.
TIMES = 2


def transformed(rows: dict[str, Any], load: Any) -> dict[str, Any]:
    """Decodes and transforms the images of some rows."""
    return {"image": np.stack([load(data).numpy() for data in rows["image"]]), "label": rows["label"]}


def write(file: Path, job: harness.Job) -> None:
    """Writes the images as they are, in groups of 100."""
    partly = file.with_suffix(".partial")
    table = pa.table({"image": [Path(each).read_bytes() for each in job.files], "label": job.labels})
    pq.write_table(table, partly, row_group_size=ROWS, compression="NONE", use_dictionary=False)
    partly.rename(file)


def main() -> None:
    """Measures one variant."""
    job = harness.job()
    file = job.data / "images.parquet"
    if job.prepare:
        if not file.exists():
            write(file, job)
        return
    ray.init(num_cpus=job.workers, include_dashboard=False, logging_level=logging.ERROR)
    ray.data.DataContext.get_current().enable_progress_bars = False

    def batches() -> Iterator[Any]:
        read = ray.data.read_parquet([str(file)] * TIMES, shuffle="files")
        images = read.map_batches(partial(transformed, load=of_bytes(job)), batch_size=harness.BATCH)
        yield from images.iter_batches(batch_size=harness.BATCH, batch_format="numpy", local_shuffle_buffer_size=500)

    harness.run(job, batches, lambda batch: len(batch["image"]), ("ray", "torch", "torchvision"), whole=True)


if __name__ == "__main__":
    main()
