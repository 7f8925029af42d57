"""Columns of numbers from a Parquet file: stokehold, Hugging Face `datasets`, Ray Data or Grain."""

import logging
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

sys.path.insert(0, str(Path(__file__).parents[1] / "peers"))
import harness

COLUMNS = [f"x{number}" for number in range(20)]
BATCH = 1024
GROUP = 50_000
# An epoch of Ray's reads the file as often, so that its beginning counts little.
TIMES = 3

Batches = Iterator[dict[str, Any]]


def write(file: Path, count: int) -> None:
    """Writes 20 columns of `float32` and a label."""
    rng = np.random.default_rng(0)
    columns = {name: rng.standard_normal(count).astype(np.float32) for name in COLUMNS}
    partly = file.with_suffix(".partial")
    pq.write_table(pa.table(columns | {"label": rng.integers(0, 10, count)}), partly, row_group_size=GROUP)
    partly.rename(file)


def by_stokehold(file: Path, workers: int) -> Batches:
    """Iterates over our source, shuffled by blocks."""
    import stokehold as sh

    loader = sh.Loader(sh.Parquet(file), batch_size=BATCH, shuffle="blocks", num_workers=workers)
    while True:
        for batch in loader:
            yield {name: batch[name] for name in (*COLUMNS, "label")}


def by_datasets(file: Path, workers: int) -> Batches:
    """Iterates as the documentation of `datasets` recommends it for PyTorch."""
    from datasets import Dataset
    from torch.utils.data import DataLoader

    dataset = Dataset.from_parquet(str(file), cache_dir=str(file.parent / "datasets")).with_format("torch")
    loader: Any = DataLoader(dataset, batch_size=BATCH, shuffle=True, num_workers=workers, persistent_workers=True)
    while True:
        yield from loader


def by_ray(file: Path, workers: int) -> Batches:
    """Iterates over blocks in a random order, whose rows a buffer shuffles."""
    import ray

    if not ray.is_initialized():
        ray.init(num_cpus=workers, include_dashboard=False, logging_level=logging.ERROR)
        ray.data.DataContext.get_current().enable_progress_bars = False
    rows = ray.data.read_parquet([str(file)] * TIMES, shuffle="files")
    yield from rows.iter_batches(batch_size=BATCH, batch_format="numpy", local_shuffle_buffer_size=10 * BATCH)


def by_grain(file: Path, workers: int) -> Batches:
    """Iterates over a table in memory, which is what Grain has for random access to Parquet."""
    import grain

    table = pq.read_table(file)
    arrays = {name: table[name].to_numpy() for name in table.column_names}

    class Rows:
        """The table's rows."""

        def __len__(self) -> int:
            return len(table)

        def __getitem__(self, index: int) -> dict[str, Any]:
            return {name: array[index] for name, array in arrays.items()}

    rows = grain.MapDataset.source(Rows()).shuffle(seed=0).repeat()
    yield from rows.to_iter_dataset(grain.ReadOptions(num_threads=workers)).batch(BATCH)


WAYS: dict[str, Callable[[Path, int], Batches]] = {
    "stokehold": by_stokehold,
    "datasets": by_datasets,
    "ray": by_ray,
    "grain": by_grain,
}


def main() -> None:
    """Measures one variant."""
    job = harness.job()
    file = job.data / "numbers.parquet"
    if job.prepare:
        if not file.exists():
            write(file, 1_000_000)
        return
    harness.run(
        job,
        lambda: WAYS[job.variant](file, job.workers),
        lambda batch: len(batch["label"]),
        (job.variant, "pyarrow"),
        whole=job.variant == "ray",
    )


if __name__ == "__main__":
    main()
