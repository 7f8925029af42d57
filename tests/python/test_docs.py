"""The programs of docs/loops.md and docs/batches.md run as they stand there."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest

from support import as_processes

PAGE = Path(__file__).resolve().parents[2] / "docs" / "loops.md"
BATCHES = PAGE.with_name("batches.md")

pytestmark = pytest.mark.thorough

SOURCES = """
import numpy as np
import stokehold as sh
x = np.random.default_rng(0).random((300, 3), np.float32)
train = validation = sh.Arrays({"x": x, "y": x.sum(1, keepdims=True)})
"""

MODEL = """
import torch
from stokehold.torch import adopt
model, loss = torch.nn.Linear(3, 1), torch.nn.functional.mse_loss
optimizer = torch.optim.SGD(model.parameters(), 0.1)
"""

BEFORE = {
    "Lightning": """
import lightning
from lightning.pytorch.callbacks import ModelCheckpoint

class Model(lightning.LightningModule):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(3, 1)
    def training_step(self, batch, number):
        return loss(self.layer(batch["x"]), batch["y"])
    def validation_step(self, batch, number):
        self.log("loss", loss(self.layer(batch["x"]), batch["y"]))
    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.1)

model = Model()
""",
    "Fabric": "import lightning\n",
    "Accelerate": "from accelerate import Accelerator\nfrom accelerate.utils import DataLoaderConfiguration\n",
    "Trainer of Transformers": """
import transformers

class Model(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(3, 1)
    def forward(self, x, y):
        return {"loss": loss(self.layer(x), y)}

model = Model()
arguments = transformers.TrainingArguments(
    "trained", num_train_epochs=1, use_cpu=True, report_to=[], remove_unused_columns=False, label_names=["y"]
)
""",
    "Ray Train": """
import os
import ray.train.torch

def step(batch):
    assert batch.rows > 0

workers, run = 0, ray.train.RunConfig(storage_path=os.getcwd())
""",
    "Keras": """
import keras
model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
model.compile("sgd", "mse")
""",
    "JAX and Flax": """
import jax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

@jax.jit
def step(state, batch):
    return state + batch["x"].sum()

state = 0.0
""",
}
NEEDS = {"Trainer of Transformers": "transformers", "Ray Train": "ray", "JAX and Flax": "jax", "Fabric": "lightning"}
TORCH_ONLY = {name for name in BEFORE if name != "JAX and Flax"}


def blocks() -> dict[str, str]:
    """The program of each section."""
    frameworks = re.split(r"^## (.+)$", PAGE.read_text(), flags=re.MULTILINE)
    section = frameworks[frameworks.index("Frameworks") + 1]
    parts = re.split(r"^### (.+)$", section, flags=re.MULTILINE)[1:]
    pairs = zip(parts[::2], parts[1::2], strict=True)
    found = {name: re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL) for name, text in pairs}
    return {name: "\n".join(programs) for name, programs in found.items() if programs}


def test_batches_are_made_as_the_page_says(tmp_path: Path) -> None:
    programs = re.findall(r"^```python\n(.*?)^```$", BATCHES.read_text(), re.MULTILINE | re.DOTALL)
    assert len(programs) > 4
    as_processes("\n".join(programs), tmp_path, [{}])


def test_each_program_has_a_test() -> None:
    assert set(blocks()) == set(BEFORE)


@pytest.mark.parametrize("name", BEFORE)
def test_a_program_runs(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (NEEDS.get(name, name.lower()), "torch" if name in TORCH_ONLY else "numpy"):
        if importlib.util.find_spec(module) is None:
            pytest.skip(f"{module} is not installed")
    monkeypatch.chdir(tmp_path)
    variables = {"KERAS_BACKEND": "torch", "JAX_PLATFORMS": "cpu", "RAY_TRAIN_V2_ENABLED": "1"}
    program = SOURCES + (MODEL if name in TORCH_ONLY else "") + BEFORE[name] + blocks()[name]
    as_processes(program, tmp_path, [variables])
