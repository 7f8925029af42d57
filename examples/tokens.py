"""Learns which letter follows which, from windows of a file of tokens.

    .venv/bin/python examples/tokens.py

The text is Python's own reference, as `pydoc` has it; a token is a byte, and topics end with a zero.
"""

import tempfile
from pathlib import Path
from pydoc_data.topics import topics

import numpy as np

import stokehold as sh

SEPARATOR = 0


def main() -> None:
    """Counts pairs of tokens in a random order, and tells how many bits a token of the held-out windows takes."""
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "topics.bin"
        text = b"".join(topic.encode() + bytes([SEPARATOR]) for topic in topics.values())
        np.frombuffer(text, np.uint8).astype("<u2").tofile(path)
        # Windows begin every 128 tokens, so that each token is a target once.
        source = sh.TokenBin(path, 128, separator=SEPARATOR, segments=True, vocab_size=256)
        print(source)
        train, held_out = source.split([0.9, 0.1])
        pairs = np.ones((256, 256))
        with sh.Loader(train, batch_size=32, shuffle=True, num_workers=2) as loader:
            for batch in loader:
                # What follows the end of a topic is chance.
                is_inside = batch["tokens"] != SEPARATOR
                np.add.at(pairs, (batch["tokens"][is_inside], batch["targets"][is_inside]), 1)
        bits = -np.log2(pairs / pairs.sum(1, keepdims=True))
        with sh.Loader(held_out, batch_size=len(held_out)) as loader:
            batch = next(iter(loader))
            documents = int(batch["segment_ids"].max(1).sum())
            print(f"{bits[batch['tokens'], batch['targets']].mean():.2f} bits a token, in {documents} parts of topics")


if __name__ == "__main__":
    main()
