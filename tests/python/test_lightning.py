"""Native loaders in Lightning and Fabric: their epochs, limits, checkpoints and processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
lightning = pytest.importorskip("lightning")
tqdm = pytest.importorskip("tqdm")

from lightning import LightningDataModule, LightningModule
from lightning.pytorch.callbacks import TQDMProgressBar

import stokehold as sh
from stokehold.torch import adopt
from support import PROGRAM_SECONDS, as_ranks

SAMPLES, ROWS, BATCHES = 20, 4, 5

pytestmark = [
    pytest.mark.thorough,
    pytest.mark.usefixtures("torch_started"),
    pytest.mark.filterwarnings("ignore"),  # Theirs, which differ from release to release.
]


def made(**options: Any) -> sh.Loader:
    x = np.arange(SAMPLES, dtype=np.float32).reshape(-1, 1)
    given: dict[str, Any] = {"batch_size": ROWS, "shuffle": True, "num_workers": 0, "output": "torch"}
    return sh.Loader(sh.Arrays({"x": x}), **given | options)


def epochs(count: int) -> list[list[int]]:
    """The indices of each batch of so many epochs."""
    with made() as loader:
        return [batch.indices.tolist() for _ in range(count) for batch in loader]


class Model(LightningModule):  # type: ignore[misc,unused-ignore]
    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)
        self.seen: list[list[int]] = []
        self.validated: list[list[int]] = []

    def training_step(self, batch: Any, _: int) -> Any:
        self.seen.append(batch.indices.tolist())
        return self.layer(batch["x"]).mean()

    def validation_step(self, batch: Any, _: int) -> None:
        self.validated.append(batch.indices.tolist())

    def predict_step(self, batch: Any, _: int) -> Any:
        return batch.indices.tolist()

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), 0.1)


def trainer(folder: Path, **options: Any) -> Any:
    given: dict[str, Any] = {
        "max_epochs": 3,
        "accelerator": "cpu",
        "logger": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "enable_checkpointing": "callbacks" in options,
        "default_root_dir": folder,
    }
    return lightning.Trainer(**given | options)


@pytest.fixture(params=["itself", "adopted"])
def taken(request: pytest.FixtureRequest) -> Any:
    """How a loader is given to Lightning."""
    return adopt if request.param == "adopted" else lambda loader: loader


def test_epochs_follow_each_other(taken: Any, tmp_path: Path) -> None:
    loader = taken(made(num_workers=2))
    for _ in range(2):
        # A second trainer counts from the beginning again.
        model = Model()
        trainer(tmp_path).fit(model, loader)
        assert model.seen == epochs(3)
    # The same trainer goes on.
    one, model = trainer(tmp_path, max_epochs=2), Model()
    one.fit(model, loader)
    one.fit_loop.max_epochs = 3
    one.fit(model, loader)
    assert model.seen == epochs(3)
    getattr(loader, "loader", loader).close()


class Data(LightningDataModule):  # type: ignore[misc,unused-ignore]
    def train_dataloader(self) -> Any:
        return made()

    def val_dataloader(self) -> Any:
        return made(shuffle=False)

    def predict_dataloader(self) -> Any:
        return adopt(made(shuffle=False))


@pytest.mark.parametrize("reloads", [0, 1])
def test_a_data_module(reloads: int, tmp_path: Path) -> None:
    model, data = Model(), Data()
    one = trainer(tmp_path, num_sanity_val_steps=2, reload_dataloaders_every_n_epochs=reloads)
    one.fit(model, datamodule=data)
    assert model.seen == epochs(3)
    in_order = [list(range(start, start + ROWS)) for start in range(0, SAMPLES, ROWS)]
    assert model.validated == in_order[:2] + in_order * 3
    assert one.predict(model, datamodule=data) == in_order


@pytest.mark.parametrize("options", [{"limit_train_batches": 2}, {"limit_train_batches": 0.5}])
def test_fewer_batches_of_each_epoch(options: dict[str, Any], taken: Any, tmp_path: Path) -> None:
    model = Model()
    trainer(tmp_path, **options).fit(model, taken(made()))
    whole = epochs(3)
    assert model.seen == [batch for epoch in range(3) for batch in whole[epoch * BATCHES :][:2]]


def test_overfitting_takes_the_same_batches(tmp_path: Path) -> None:
    model = Model()
    trainer(tmp_path, overfit_batches=2).fit(model, adopt(made()))
    assert model.seen == epochs(1)[:2] * 3
    model = Model()
    trainer(tmp_path, overfit_batches=2).fit(model, made(shuffle=False))
    assert model.seen == [[0, 1, 2, 3], [4, 5, 6, 7]] * 3
    # Lightning puts a sampler into a loader that shuffles, which only one of PyTorch's takes.
    with pytest.raises(ValueError, match="needs to subclass"):
        trainer(tmp_path, overfit_batches=2).fit(Model(), made())


POINTS: dict[str, dict[str, Any]] = {
    "each step": {"every_n_train_steps": 1},
    "each epoch": {"every_n_epochs": 1},
    "each epoch, behind the training": {"every_n_epochs": 1, "save_on_train_epoch_end": True},
}


LIMITS: list[tuple[str, dict[str, Any]]] = [
    *((point, limits) for point in POINTS for limits in ({}, {"val_check_interval": 2})),
    # With `max_steps` and a checkpoint at an epoch's end, Lightning goes over one batch of the next epoch, whatever the
    # loader, and then begins the one after it.
    ("each step", {"max_steps": 13, "max_epochs": -1}),
]


@pytest.mark.parametrize(("point", "limits"), LIMITS, ids=str)
@pytest.mark.parametrize("validates", [False, True])
def test_a_checkpoint_goes_on_where_it_was_taken(
    point: str, validates: bool, limits: dict[str, Any], taken: Any, tmp_path: Path
) -> None:
    def fit(model: Model, **options: Any) -> None:
        saved = lightning.pytorch.callbacks.ModelCheckpoint(
            options.pop("folder"), "{step}", save_top_k=-1, **POINTS[point]
        )
        validation = {"val_dataloaders": made(shuffle=False)} if validates else {}
        one = trainer(tmp_path, callbacks=[saved], num_sanity_val_steps=0, **limits)
        one.fit(model, taken(made(num_workers=0)), **validation, **options)

    whole = Model()
    fit(whole, folder=tmp_path / "whole")
    assert whole.seen == epochs(3)[: len(whole.seen)]
    assert len(whole.seen) == limits.get("max_steps", 15)
    paths = sorted((tmp_path / "whole").iterdir())
    assert len(paths) >= 2
    for path in paths:
        rest = Model()
        fit(rest, folder=tmp_path / path.stem, ckpt_path=path)
        step = int(path.stem.removeprefix("step=").split("-")[0])
        assert rest.seen == whole.seen[step:], path.stem


def test_the_progress_bar_ends_where_the_batches_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tqdm.tqdm, "monitor_interval", 0)  # It would start a thread.
    totals: list[tuple[int, int]] = []

    class Bar(TQDMProgressBar):  # type: ignore[misc,unused-ignore]
        def on_train_epoch_end(self, *arguments: Any) -> None:
            totals.append((self.train_progress_bar.n, self.train_progress_bar.total))
            super().on_train_epoch_end(*arguments)

    saved = lightning.pytorch.callbacks.ModelCheckpoint(tmp_path, "{step}", save_top_k=-1, every_n_train_steps=1)
    trainer(tmp_path, callbacks=[Bar(), saved], enable_progress_bar=True).fit(Model(), made())
    path = tmp_path / "step=2.ckpt"
    resumed = trainer(tmp_path, callbacks=[Bar()], enable_progress_bar=True)
    resumed.fit(Model(), made(), ckpt_path=path)
    # Lightning gives the bar of an epoch that it goes on with no end.
    assert totals == [(BATCHES, BATCHES)] * 3 + [(BATCHES, None)] + [(BATCHES, BATCHES)] * 2
    assert resumed.num_training_batches == BATCHES


FABRIC = """
import json, sys
import lightning, numpy as np, torch
import stokehold as sh
from stokehold.torch import adopt

def made():
    x = np.arange(41, dtype=np.float32).reshape(-1, 1)
    return adopt(sh.Loader(sh.Arrays({"x": x}), batch_size=4, shuffle=True, num_workers=1, output="torch"))

if __name__ == "__main__":
    loader = made()
    fabric = lightning.Fabric(accelerator="cpu", devices=2, strategy="ddp")
    fabric.launch()
    batches = fabric.setup_dataloaders(loader)
    seen = [[batch.indices.tolist() for batch in batches]]
    for number, batch in enumerate(batches):
        seen.append(batch.indices.tolist())
        if number == 2:
            break
    fabric.save(sys.argv[1], {"loader": batches})
    seen = [seen[0], seen[1:]]
    again = fabric.setup_dataloaders(made())
    fabric.load(sys.argv[1], {"loader": again})
    seen += [[batch.indices.tolist() for batch in again] for _ in range(2)]
    expected = made()
    seen += [[batch.indices.tolist() for batch in expected] for _ in range(3)]
    print(json.dumps(seen), flush=True)
    fabric.barrier()
"""


def test_fabric_saves_and_restores_a_loader(tmp_path: Path) -> None:
    said = as_ranks(FABRIC, tmp_path, str(tmp_path / "checkpoint"))
    seen = [json.loads(text.splitlines()[-1]) for text in said]
    for first, before, rest, following, *expected in seen:
        assert [first, before + rest, following] == expected
    for epoch in (0, 3):
        rows = [index for rank in seen for batch in rank[epoch] for index in batch]
        assert sorted(set(rows)) == list(range(41))
        assert len(rows) == 42


RANK = """
import json, os, signal, sys
from pathlib import Path
import lightning, numpy as np, torch
import stokehold as sh
from stokehold.torch import adopt

SAMPLES = 41
folder, how, last = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])

def made(**options):
    x = np.arange(SAMPLES, dtype=np.float32).reshape(-1, 1)
    loader = sh.Loader(sh.Arrays({"x": x}), batch_size=4, num_workers=1, output="torch", **options)
    return adopt(loader) if how == "adopted" else loader

class Model(lightning.LightningModule):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)
    def note(self, kind, number, batch):
        with (folder / f"{kind} {self.global_rank}").open("a") as notes:
            print(json.dumps([self.current_epoch, number, batch.indices.tolist()]), file=notes)
    def training_step(self, batch, number):
        if self.current_epoch == 1 and number == last and self.global_rank == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        self.note("train", number, batch)
        return self.layer(batch["x"]).mean()
    def validation_step(self, batch, number):
        self.note("validate", number, batch)
    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.1)

class Data(lightning.LightningDataModule):
    def train_dataloader(self):
        return made(shuffle=True)
    def val_dataloader(self):
        return made()

if __name__ == "__main__":
    saved = lightning.pytorch.callbacks.ModelCheckpoint(folder, "{epoch} {step}", save_top_k=-1, every_n_train_steps=2)
    trainer = lightning.Trainer(
        max_epochs=2, accelerator="cpu", devices=2, strategy="ddp", callbacks=[saved], logger=False,
        enable_progress_bar=False, enable_model_summary=False, num_sanity_val_steps=0, use_distributed_sampler=True,
    )
    path = sys.argv[4] if len(sys.argv) > 4 else None
    trainer.fit(Model(), datamodule=Data(), ckpt_path=path)
"""


def notes(folder: Path, kind: str) -> list[tuple[int, int, list[int]]]:
    """Epoch, number and indices of what both ranks have seen; of a batch that came again, each time."""
    return [
        tuple(json.loads(line)) for rank in range(2) for line in (folder / f"{kind} {rank}").read_text().splitlines()
    ]


@pytest.mark.parametrize("how", ["itself", "adopted"])
def test_two_processes_one_of_which_is_killed(how: str, tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(RANK)

    def run(folder: Path, *arguments: str) -> int:
        folder.mkdir()
        command = [sys.executable, "-W", "ignore", str(program), str(folder), how, *arguments]
        environment = dict(os.environ) | {"GLOO_SOCKET_IFNAME": "lo", "OMP_NUM_THREADS": "1"}
        return subprocess.run(
            command, env=environment, timeout=PROGRAM_SECONDS, check=False, capture_output=True
        ).returncode

    first, second = tmp_path / "first", tmp_path / "second"
    assert run(first, "4") != 0
    # 41 samples are 11 rows of 4 on both of 2 ranks: 6 batches an epoch, and the checkpoint is behind the second.
    path = first / "epoch=1 step=8.ckpt"
    assert path.is_file()
    assert run(second, "-1", str(path)) == 0

    before = notes(first, "train")
    whole = sorted(index for epoch, _, indices in before if epoch == 0 for index in indices)
    assert sorted(set(whole)) == list(range(41))
    assert len(whole) == 42
    kept = [index for epoch, number, indices in before if epoch == 1 and number < 2 for index in indices]
    rest = [index for _, _, indices in notes(second, "train") for index in indices]
    assert sorted({*kept, *rest}) == list(range(41))
    # One sample comes again at the end, to even out the ranks.
    assert len(kept + rest) == 42
    validated = [index for epoch, _, indices in notes(second, "validate") if epoch == 1 for index in indices]
    assert sorted(set(validated)) == list(range(41))
    assert len(validated) == 42
