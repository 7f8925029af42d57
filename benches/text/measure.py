"""How fast are texts tokenized in workers, beside the crate by itself and PyTorch's loader with `transformers`?

    python benches/text/measure.py
    python benches/text/measure.py --workers 2 --rounds 5 --tokenizer tokenizer.json

All give padded `int64` ids and masks of `--length` tokens, in batches of 64, of the same texts: paragraphs of Python's
reference, each between 1 and 8 of them long. The crate's own speed is that of the `tokenizers` package, whose
`encode_batch_fast` tokenizes batches in one process without threads: so many workers are to be as many times as fast.
Each figure is the median of several rounds, which take turns; a round is a loader's second and third epoch.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Generator
from contextlib import closing
from pathlib import Path
from pydoc_data.topics import topics
from typing import Any, Final

# Before the package is loaded: its threads would take the processors of the workers.
os.environ["TOKENIZERS_PARALLELISM"] = "false"

import numpy as np
import tokenizers
import torch
import transformers
from tokenizers import models, pre_tokenizers, processors, trainers

import stokehold as sh

BATCH: Final = 64
EPOCHS: Final = 2
PAD: Final = "<pad>"


def texts(count: int) -> list[str]:
    """Returns texts of several lengths."""
    parts = [part for topic in topics.values() for part in topic.split("\n\n") if part.strip()]
    draws = np.random.default_rng(0)
    starts = (int(draws.integers(len(parts))) for _ in range(count))
    return ["\n\n".join(parts[start : start + int(draws.integers(1, 9))]) for start in starts]


def trained(rows: list[str], path: Path) -> None:
    """Writes a tokenizer like that of GPT-2, with a vocabulary of 16,000."""
    made: Any = tokenizers.Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=16_000, special_tokens=["<s>", "</s>", PAD], initial_alphabet=alphabet, show_progress=False
    )
    made.train_from_iterator(rows, trainer)
    made.post_processor = processors.RobertaProcessing(("</s>", 1), ("<s>", 0))
    made.save(str(path))


def epochs_of_crate(path: Path, rows: list[str], length: int) -> Generator[int]:
    """Yields how many tokens an epoch has."""
    tokenizer: Any = tokenizers.Tokenizer.from_file(str(path))
    tokenizer.enable_truncation(length)
    tokenizer.enable_padding(length=length, pad_id=tokenizer.token_to_id(PAD), pad_token=PAD)
    batches = [rows[at : at + BATCH] for at in range(0, len(rows), BATCH)]
    while True:
        yield sum(len(each) for batch in batches for each in tokenizer.encode_batch_fast(batch))


def epochs_of_torch(path: Path, rows: list[str], length: int, workers: int) -> Generator[int]:
    """Yields how many tokens an epoch has."""
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_file=str(path), pad_token=PAD)

    def collate(batch: list[str]) -> dict[str, torch.Tensor]:
        return dict(tokenizer(batch, truncation=True, max_length=length, padding="max_length", return_tensors="pt"))

    loader: Any = torch.utils.data.DataLoader(
        rows, BATCH, num_workers=workers, collate_fn=collate, persistent_workers=workers > 0
    )
    while True:
        yield sum(batch["input_ids"].numel() for batch in loader)


def epochs_of_ours(path: Path, rows: list[str], length: int, workers: int) -> Generator[int]:
    """Yields how many tokens an epoch has."""
    views = sh.Tokenize(path, length, padding="max_length").views("text")
    source = sh.Table({"text": rows})
    with sh.Loader(source, batch_size=BATCH, num_workers=workers, transforms=views, output="torch") as loader:
        while True:
            yield sum(batch["input_ids"].numel() for batch in loader)


def main() -> None:
    """Prints texts a second."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--texts", type=int, default=8192)
    parser.add_argument("--length", type=int, default=256)
    parser.add_argument("--tokenizer", type=Path, help="a tokenizer.json with a token <pad>; one is trained by default")
    given = parser.parse_args()
    rows = texts(given.texts)
    with tempfile.TemporaryDirectory() as name:
        path = given.tokenizer or Path(name) / "tokenizer.json"
        if given.tokenizer is None:
            trained(rows, path)
        kinds: dict[str, Callable[[], Generator[int]]] = {
            "the crate, one process": lambda: epochs_of_crate(path, rows, given.length),
            "stokehold, in the trainer": lambda: epochs_of_ours(path, rows, given.length, 0),
            f"stokehold, {given.workers} workers": lambda: epochs_of_ours(path, rows, given.length, given.workers),
            f"torch + transformers, {given.workers} workers": lambda: epochs_of_torch(
                path, rows, given.length, given.workers
            ),
        }
        seconds: dict[str, list[float]] = {kind: [] for kind in kinds}
        tokens = set()
        for _ in range(given.rounds):
            for kind, begin in kinds.items():
                with closing(begin()) as epochs:
                    tokens.add(next(epochs))
                    begun = time.perf_counter()
                    tokens |= {next(epochs) for _ in range(EPOCHS)}
                    seconds[kind].append((time.perf_counter() - begun) / EPOCHS)
        assert len(tokens) == 1, tokens  # noqa: S101
        size = np.mean([len(row.encode()) for row in rows])
        print(f"{len(rows)} texts of {size:.0f} bytes in the mean, {given.length} tokens each")
        for kind, each in seconds.items():
            print(f"{kind:34} {len(rows) / statistics.median(each):9.0f} texts/s")


if __name__ == "__main__":
    main()
