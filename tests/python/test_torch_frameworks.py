"""`stokehold.torch` under the trainers that people use, with their real packages."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from torch.utils.data import BatchSampler, Dataset, IterableDataset, SequentialSampler
from torch.utils.data import DataLoader as TorchDataLoader

from stokehold.torch import DataLoader, adopt
from support import PROGRAM_SECONDS

ROWS = 24

pytestmark = [
    pytest.mark.usefixtures("torch_started"),
    pytest.mark.filterwarnings("ignore"),  # Theirs, which differ from release to release.
]


class Line(Dataset[Any]):
    """Points on a line: `y = 2 x + 1`."""

    def __len__(self) -> int:
        return ROWS

    def __getitem__(self, index: int) -> Any:
        x = torch.tensor([index / ROWS])
        return {"x": x, "labels": 2 * x + 1}


class Stream(IterableDataset[Any]):
    def __iter__(self) -> Any:
        return iter(range(10))


def labels(batches: Any) -> list[float]:
    return [float(label) for batch in batches for label in batch["labels"]]


EXPECTED = labels(TorchDataLoader(Line(), batch_size=5))


def test_adopt_keeps_arguments_and_samplers() -> None:
    batch_sampler = BatchSampler(SequentialSampler(Line()), 7, drop_last=True)
    for made in (
        TorchDataLoader(Line(), batch_size=5, shuffle=True, num_workers=2, prefetch_factor=3, drop_last=True),
        TorchDataLoader(Line(), batch_sampler=batch_sampler),
        TorchDataLoader(Line(), batch_size=None, num_workers=1),
        TorchDataLoader(Stream(), batch_size=3, drop_last=True),
    ):
        ours = adopt(made)
        assert type(ours) is DataLoader
        for name in ("batch_size", "num_workers", "prefetch_factor", "drop_last", "sampler", "collate_fn"):
            assert str(getattr(ours, name)).split(" at ")[0] == str(getattr(made, name)).split(" at ")[0], name
        torch.manual_seed(0)
        expected = [str(batch) for batch in made]
        torch.manual_seed(0)
        assert [str(batch) for batch in ours] == expected
        assert adopt(ours) is ours
    with pytest.raises(TypeError, match="list is neither"):
        adopt([1])


def test_adopt_torchdatas() -> None:
    stateful: Any = pytest.importorskip("torchdata.stateful_dataloader")
    from stokehold.torch import StatefulDataLoader  # noqa: PLC0415

    ours = adopt(stateful.StatefulDataLoader(Line(), batch_size=5, num_workers=1, snapshot_every_n_steps=4))
    assert type(ours) is StatefulDataLoader
    assert ours.snapshot_every_n_steps == 4
    assert labels(ours) == EXPECTED


@pytest.mark.thorough
def test_accelerate() -> None:
    accelerate: Any = pytest.importorskip("accelerate")
    accelerator = accelerate.Accelerator(cpu=True, gradient_accumulation_steps=2)
    model = torch.nn.Linear(1, 1)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    loader = DataLoader(Line(), batch_size=5, num_workers=2)
    model, optimizer, loader = accelerator.prepare(model, optimizer, loader)
    adopted = adopt(loader)
    assert adopted is loader
    assert type(adopted.base_dataloader) is DataLoader
    seen, ends = [], []
    for batch in adopted:
        with accelerator.accumulate(model):
            accelerator.backward(torch.nn.functional.mse_loss(model(batch["x"]), batch["labels"]))
            optimizer.step()
            optimizer.zero_grad()
        seen.append(batch)
        ends.append(accelerator.gradient_state.end_of_dataloader)
    assert labels(seen) == EXPECTED
    assert ends == [False] * 4 + [True]
    accelerator.free_memory()


@pytest.mark.thorough
def test_lightning(tmp_path: Any) -> None:
    lightning: Any = pytest.importorskip("lightning")

    class Model(lightning.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.layer = torch.nn.Linear(1, 1)
            self.seen: list[Any] = []

        def training_step(self, batch: Any, _: int) -> Any:
            self.seen.append(batch)
            return torch.nn.functional.mse_loss(self.layer(batch["x"]), batch["labels"])

        def configure_optimizers(self) -> Any:
            return torch.optim.SGD(self.parameters(), 0.1)

    loader = DataLoader(Line(), batch_size=5, num_workers=2, on_worker_death="raise")
    trainer = lightning.Trainer(
        max_epochs=2,
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        default_root_dir=tmp_path,
    )
    model = Model()
    trainer.fit(model, loader)
    assert trainer.train_dataloader is loader
    assert labels(model.seen) == EXPECTED * 2


@pytest.mark.thorough
def test_lightning_makes_such_a_loader_again() -> None:
    """As it does to put its own sampler in."""
    data: Any = pytest.importorskip("lightning.fabric.utilities.data")
    loader = DataLoader(Line(), batch_size=5, num_workers=2, on_worker_death="raise")
    again = data._update_dataloader(loader, torch.utils.data.DistributedSampler(Line(), 2, 1, shuffle=False))
    assert type(again) is DataLoader
    assert again.on_worker_death == "raise"
    assert len(labels(again)) == ROWS // 2


@pytest.fixture(scope="module")
def transformers() -> Any:
    """Transformers, and what its trainer imports: SciPy's OpenBLAS has a thread that begins with it."""
    module = pytest.importorskip("transformers")
    assert module.Trainer
    return module


@pytest.mark.thorough
def test_transformers(tmp_path: Any, transformers: Any) -> None:
    module: Any = torch.nn.Module

    class Model(module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = torch.nn.Linear(1, 1)
            self.rows = 0

        def forward(self, x: Any, labels: Any) -> Any:
            self.rows += len(x)
            return {"loss": torch.nn.functional.mse_loss(self.layer(x), labels)}

    class Trainer(transformers.Trainer):
        def get_train_dataloader(self) -> Any:
            loader = adopt(super().get_train_dataloader())
            assert type(loader.base_dataloader) is DataLoader
            return loader

    arguments = transformers.TrainingArguments(
        output_dir=str(tmp_path),
        per_device_train_batch_size=5,
        num_train_epochs=2,
        dataloader_num_workers=2,
        save_strategy="no",
        report_to=[],
        use_cpu=True,
        disable_tqdm=True,
        remove_unused_columns=False,
    )
    model = Model()
    Trainer(model=model, args=arguments, train_dataset=Line()).train()
    assert model.rows == 2 * ROWS


RANK_OF_RAY = """
import sys
import numpy as np
import stokehold as sh
import ray.train.torch
import torch
from stokehold.torch import DataLoader, PoolLoader, adopt

class Line(torch.utils.data.Dataset):
    def __len__(self):
        return 24
    def __getitem__(self, index):
        return torch.tensor([float(index)])

def train():
    loader = ray.train.torch.prepare_data_loader(DataLoader(Line(), batch_size=4, num_workers=2))
    plain = type(loader._dataloader) is torch.utils.data.DataLoader
    loader = adopt(loader)
    assert type(loader._dataloader) is DataLoader
    for epoch in range(2):
        found = [int(value) for batch in loader for value in batch]
        print("rank", ray.train.get_context().get_world_rank(), plain, found, flush=True)

    native = sh.Loader(sh.Arrays({"x": np.arange(24)}), batch_size=4, num_workers=1, output="torch")
    for epoch in range(2):
        found = [int(value) for batch in native for value in batch.to(ray.train.torch.get_device())["x"]]
        print("native", ray.train.get_context().get_world_rank(), found, flush=True)
    loader = ray.train.torch.prepare_data_loader(adopt(native))
    assert type(loader._dataloader) is PoolLoader
    for epoch in range(2):
        loader.sampler.set_epoch(epoch)
        found = [int(value) for batch in loader for value in batch["x"]]
        print("native", ray.train.get_context().get_world_rank(), found, flush=True)

scaling = ray.train.ScalingConfig(num_workers=0)
run = ray.train.RunConfig(storage_path=sys.argv[1])
ray.train.torch.TorchTrainer(train, scaling_config=scaling, run_config=run).fit()
"""


@pytest.mark.thorough
def test_ray_train(tmp_path: Path) -> None:
    """Two ranks in processes of their own, without a cluster."""
    pytest.importorskip("ray")
    script = tmp_path / "rank.py"
    script.write_text(RANK_OF_RAY)
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run(
        [*launch, str(script), str(tmp_path)],
        env=os.environ | {"RAY_TRAIN_V2_ENABLED": "1", "RAY_USAGE_STATS_ENABLED": "0"},
        capture_output=True,
        text=True,
        timeout=PROGRAM_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    # Both write to one pipe, and a line may come behind another one's.
    said = sorted(re.findall(r"rank \d True \[.*?\]", done.stdout))
    expected = [f"rank {rank} True {list(range(rank, 24, 2))}" for rank in (0, 1)]
    assert said == sorted(expected * 2)
    said = sorted(re.findall(r"native \d \[.*?\]", done.stdout))
    assert said == sorted([f"native {rank} {list(range(rank, 24, 2))}" for rank in (0, 1)] * 4)
