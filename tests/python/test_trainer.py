"""Native loaders in the Trainer of Transformers: two processes, one of which is killed, a checkpoint, evaluation."""

from __future__ import annotations

import json
import math
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from support import PROGRAM_SECONDS

pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("accelerate")

pytestmark = pytest.mark.thorough

SAMPLES = 41

PROGRAM = """
import json, os, signal, sys
import numpy as np, torch, transformers
import stokehold as sh
from stokehold.torch import adopt

folder, last, steps, path = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4] or None
SAMPLES = 41

def made(**options):
    x = np.arange(SAMPLES, dtype=np.float32).reshape(-1, 1)
    source = sh.Arrays({"x": x, "labels": 2 * x})
    return adopt(sh.Loader(source, batch_size=4, num_workers=1, output="torch", **options))

class Trainer(transformers.Trainer):
    def get_train_dataloader(self):
        return self.accelerator.prepare(made(shuffle=True))

    def get_eval_dataloader(self, eval_dataset=None):
        return self.accelerator.prepare(made())

class Model(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)
        self.seen = []

    def forward(self, x, labels):
        if self.training:
            if len(self.seen) == last and os.environ.get("RANK") == "1":
                os.kill(os.getpid(), signal.SIGKILL)
            self.seen.append([int(value) for value in x.flatten()])
            with open(os.path.join(folder, "seen " + os.environ["RANK"]), "a") as notes:
                print(json.dumps(self.seen[-1]), file=notes)
        return {"loss": torch.nn.functional.mse_loss(self.layer(x), labels), "logits": x}

def metrics(prediction):
    found = [int(value) for value in prediction.label_ids.flatten()]
    return {"found": found, "same": bool((2 * prediction.predictions == prediction.label_ids).all())}

if __name__ == "__main__":
    arguments = transformers.TrainingArguments(
        output_dir=folder, per_device_train_batch_size=4, per_device_eval_batch_size=4, num_train_epochs=2,
        gradient_accumulation_steps=steps, save_strategy="steps", save_steps=1, eval_strategy="epoch", report_to=[],
        use_cpu=True, disable_tqdm=True, remove_unused_columns=False, dataloader_drop_last=False, seed=3,
        learning_rate=1e-6, logging_strategy="no",
    )
    trainer = Trainer(model=Model(), args=arguments, compute_metrics=metrics, eval_dataset=[0])
    trainer.train(resume_from_checkpoint=path)
    found = trainer.evaluate()
    print(json.dumps([found["eval_found"], found["eval_same"], trainer.state.global_step, trainer.state.max_steps]))
"""


def run(folder: Path, ranks: int, last: int, steps: int, path: str = "") -> list[Any]:
    """Returns exit status and output of each rank."""
    folder.mkdir()
    program = folder / "program.py"
    program.write_text(PROGRAM)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    command = [sys.executable, "-W", "ignore", str(program), str(folder), str(last), str(steps), path]
    programs = [
        subprocess.Popen(
            command,
            env=dict(os.environ)
            | {"GLOO_SOCKET_IFNAME": "lo", "OMP_NUM_THREADS": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
            | {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(ranks), "LOCAL_WORLD_SIZE": str(ranks)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(ranks)
    ]
    try:
        said = [each.communicate(timeout=PROGRAM_SECONDS) for each in programs]
    finally:
        for each in programs:
            each.kill()
    return [(each.returncode, *texts) for each, texts in zip(programs, said, strict=True)]


def seen(folder: Path, ranks: int) -> list[list[list[int]]]:
    """What each rank has trained with, batch by batch."""
    return [[json.loads(line) for line in (folder / f"seen {rank}").read_text().splitlines()] for rank in range(ranks)]


def rows(batches: list[list[list[int]]], start: int, end: int | None) -> list[int]:
    return [index for rank in batches for batch in rank[start:end] for index in batch]


@pytest.mark.timeout(3 * PROGRAM_SECONDS)
@pytest.mark.parametrize(("ranks", "steps"), [(2, 1), (2, 2), (1, 1)])
def test_a_checkpoint_goes_on_where_it_was_taken(ranks: int, steps: int, tmp_path: Path) -> None:
    # 6 batches an epoch on both of 2 ranks, 11 on one; killed in the second epoch.
    batches = math.ceil(SAMPLES / ranks / 4)
    whole, cut, rest = tmp_path / "whole", tmp_path / "cut", tmp_path / "rest"
    for status, out, wrong in run(whole, ranks, -1, steps):
        assert status == 0, wrong
        found, same, done, planned = json.loads(out.splitlines()[-1])
        assert sorted(found) == [2 * index for index in range(SAMPLES)]
        assert same
        assert done == planned == 2 * math.ceil(batches / steps)
    expected = seen(whole, ranks)
    for epoch in range(2):
        read = rows(expected, epoch * batches, (epoch + 1) * batches)
        assert sorted(set(read)) == list(range(SAMPLES))
        assert len(read) == math.ceil(SAMPLES / ranks) * ranks
    if ranks > 1:
        assert any(status != 0 for status, *_ in run(cut, ranks, batches + 4, steps))
        before = seen(cut, ranks)
        assert [rank[: batches + 4] for rank in before] == [rank[: batches + 4] for rank in expected]
    folder = cut if ranks > 1 else whole
    checkpoint = folder / f"checkpoint-{(batches + 2) // steps}"
    for status, _, wrong in run(rest, ranks, -1, steps, str(checkpoint)):
        assert status == 0, wrong
    assert seen(rest, ranks) == [rank[batches + 2 :] for rank in expected]
