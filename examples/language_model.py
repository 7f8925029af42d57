"""Trains a small language model on real texts: two corpora mixed, documents packed, killed and resumed half-way.

    .venv/bin/python examples/language_model.py

The texts are the licences of the installed packages and chapters of Python's reference, a token is a byte. Training is
done twice: once in one go, and once by a process that is killed in the middle and one that goes on from its checkpoint.
Both have the same losses, step by step.
"""

import importlib.metadata
import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from pydoc_data.topics import topics
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.functional import cross_entropy, scaled_dot_product_attention

import stokehold as sh

SEQ_LEN = 256
WIDTH = 64
STEPS = 60
DIES_AT = 33
SAVES_EVERY = 10


def licences() -> list[str]:
    """Returns the licences that lie beside installed packages."""
    files = [file for package in importlib.metadata.distributions() for file in package.files or []]
    paths = {Path(str(file.locate())) for file in files if file.name.startswith(("LICENSE", "LICENCE", "COPYING"))}
    return sorted({path.read_text(errors="replace") for path in paths if path.is_file()})


def corpus(texts: list[str]) -> list[np.ndarray[Any, Any]]:
    """Returns the paragraphs of texts as tokens, a document each."""
    paragraphs = [part for text in texts for part in text.split("\n\n") if part.strip()]
    return [np.frombuffer(part.encode()[: 4 * SEQ_LEN], np.uint8).astype(np.int64) for part in paragraphs]


def make_loader() -> sh.Loader:
    """Returns packed rows of both corpora, seven licences to three chapters."""
    corpora = [corpus(licences()), corpus([topics[name] for name in sorted(topics)])]
    source = sh.concat([sh.Table({"tokens": sh.Lists(documents)}) for documents in corpora])
    lengths = [len(document) for documents in corpora for document in documents]
    return sh.Loader(
        source,
        batch_size=8,
        order=sh.Mixture([0.7, 0.3]),
        cut=sh.Packing(SEQ_LEN, lengths, strategy="concat"),
        num_workers=2,
        output="torch",
        drop_last=True,
    )


class Model(nn.Module):
    """One block of attention, within documents and to what came before alone."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens, self.positions = nn.Embedding(256, WIDTH), nn.Embedding(SEQ_LEN, WIDTH)
        self.mix, self.out = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, 256)
        self.think = nn.Sequential(
            nn.LayerNorm(WIDTH), nn.Linear(WIDTH, 4 * WIDTH), nn.GELU(), nn.Linear(4 * WIDTH, WIDTH)
        )

    def forward(self, batch: sh.Batch) -> torch.Tensor:
        """Returns the loss of a batch: how well each token foretells the next one of its document."""
        tokens, segments = batch["tokens"], batch["segment_ids"]
        x = self.tokens(tokens) + self.positions(batch["position_ids"])
        same = (segments[:, :, None] == segments[:, None, :]) & torch.ones(SEQ_LEN, SEQ_LEN, dtype=torch.bool).tril()
        query, key, value = self.mix(x).chunk(3, -1)
        x = x + scaled_dot_product_attention(query, key, value, attn_mask=same)
        scores = self.out(x + self.think(x))
        is_last = (segments[:, 1:] != segments[:, :-1]) | (segments[:, 1:] == 0)
        labels = tokens[:, 1:].masked_fill(is_last, -100)
        return cross_entropy(scores[:, :-1].reshape(-1, 256), labels.reshape(-1))


def train(checkpoint: Path, dies_at: int) -> None:
    """Trains from the checkpoint on, if there is one, and prints a loss for each step."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    model = Model()
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    with make_loader() as loader:
        step = 0
        if checkpoint.exists():
            saved = torch.load(checkpoint, weights_only=True)
            model.load_state_dict(saved["model"])
            optimizer.load_state_dict(saved["optimizer"])
            loader.load_state_dict(json.loads(saved["loader"]))
            step = saved["step"]
        for batch in loader.epochs():
            loss = model(batch)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            print(step, f"{loss.item():.6f}", flush=True)
            step += 1
            if step == STEPS:
                return
            if step % SAVES_EVERY == 0:
                states = {"model": model.state_dict(), "optimizer": optimizer.state_dict()}
                torch.save(states | {"loader": json.dumps(loader.state_dict()), "step": step}, checkpoint)
            if step == dies_at:
                os.kill(os.getpid(), signal.SIGKILL)


def losses(checkpoint: Path, dies_at: int = -1) -> dict[int, float]:
    """Trains in a process of its own; returns the losses of its steps."""
    command = [sys.executable, __file__, str(checkpoint), str(dies_at)]
    run = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)  # noqa: S603 (this script)
    if run.returncode not in (0, -signal.SIGKILL):
        raise SystemExit(run.returncode)
    return {int(step): float(loss) for step, loss in (line.split() for line in run.stdout.splitlines())}


def main() -> None:
    """Compares training in one go with training that is killed."""
    with tempfile.TemporaryDirectory() as folder:
        whole = losses(Path(folder, "whole"))
        killed = losses(Path(folder, "killed"), DIES_AT)
        resumed = losses(Path(folder, "killed"))
    print(f"one go: loss {whole[0]:.2f} -> {whole[STEPS - 1]:.2f} in {STEPS} steps")
    print(f"killed at step {DIES_AT}, resumed at {min(resumed)}: loss {resumed[STEPS - 1]:.2f}")
    if (killed | resumed) != whole or whole[STEPS - 1] > whole[0] / 1.5:
        raise SystemExit("the losses differ, or do not fall")
    print("the same losses, step by step")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        train(Path(sys.argv[1]), int(sys.argv[2]))
    else:
        main()
