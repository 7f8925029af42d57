"""Writes the files beside it; needs PyTorch and, by ``pip install --no-deps``, megatron-core 0.16.1."""

import json
from pathlib import Path

import numpy as np
import torch
from megatron.core.datasets.indexed_dataset import DType, IndexedDatasetBuilder

FOLDER = Path(__file__).resolve().parent


def write(name: str, vocabulary: int, seed: int) -> None:
    """Writes 12 documents of one or two sequences each, one of them without tokens, and what they are as JSON."""
    rng = np.random.default_rng(seed)
    builder = IndexedDatasetBuilder(str(FOLDER / f"{name}.bin"), dtype=DType.optimal_dtype(vocabulary))
    documents: list[list[int]] = []
    for document in range(12):
        documents.append([])
        for _ in range(1 + document % 2):
            length = 0 if document == 4 else int(rng.integers(1, 40))
            tokens = rng.integers(0, vocabulary, length)
            builder.add_item(torch.from_numpy(tokens))
            documents[-1].extend(tokens.tolist())
        builder.end_document()
    builder.finalize(str(FOLDER / f"{name}.idx"))
    (FOLDER / f"{name}.json").write_text(json.dumps(documents))


if __name__ == "__main__":
    write("small", 50257, 1)
    write("large", 128256, 2)
