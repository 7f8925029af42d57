"""Trains a tokenizer on the licences of installed packages, and learns which of its tokens follows which.

    .venv/bin/python examples/tokenize_text.py

It needs the `tokenizers` package to make the tokenizer; to use one, nothing but stokehold.
"""

import tempfile
from importlib.metadata import distributions
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers

import stokehold as sh

VOCABULARY = 1000
LENGTH = 64


def licences() -> list[str]:
    """Returns the paragraphs of all licences, each once."""
    names = ("licen", "copying", "notice")
    files = [file for each in distributions() for file in each.files or () if file.name.lower().startswith(names)]
    paths = sorted({Path(str(file.locate())) for file in files})
    texts = [path.read_text(errors="ignore") for path in paths if path.is_file() and path.suffix != ".py"]
    return list(dict.fromkeys(part.strip() for text in texts for part in text.split("\n\n") if part.strip()))


def trained(texts: list[str], path: Path) -> None:
    """Writes a tokenizer like that of RoBERTa, with a small vocabulary."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    special = ["<s>", "</s>", "<pad>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 1), ("<s>", 0))
    tokenizer.save(str(path))


def main() -> None:
    """Counts pairs of tokens in a random order, and tells how many bits a byte of the held-out paragraphs takes."""
    texts = licences()
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "tokenizer.json"
        trained(texts, path)
        train, held_out = sh.Table({"text": texts}).split([0.9, 0.1])
        padded = sh.Tokenize(path, LENGTH, padding="max_length").views("text")
        pairs = np.ones((VOCABULARY, VOCABULARY))
        with sh.Loader(train, batch_size=32, shuffle=True, num_workers=2, transforms=padded) as loader:
            for batch in loader:
                ids, mask = batch["input_ids"], batch["attention_mask"]
                is_pair = mask[:, 1:] == 1
                np.add.at(pairs, (ids[:, :-1][is_pair], ids[:, 1:][is_pair]), 1)
        bits = -np.log2(pairs / pairs.sum(1, keepdims=True))
        taken = size = tokens = 0.0
        # Without padding and truncation, each row is as long as its text is; its bytes stay beside it.
        ragged = {"bytes": sh.View("text"), "ids": sh.View("text", [sh.Tokenize(path)])}
        with sh.Loader(held_out, batch_size=32, num_workers=2, transforms=ragged) as loader:
            for batch in loader:
                taken += sum(bits[row[:-1], row[1:]].sum() for row in batch["ids"])
                size += batch["bytes"].lengths.sum()
                tokens += batch["ids"].lengths.sum()
        print(f"{len(texts)} paragraphs; {size / tokens:.2f} bytes a token; {taken / size:.2f} bits a byte")


if __name__ == "__main__":
    main()
