"""Mixes three corpora by weight, stops in the middle of an epoch, and goes on as two ranks.

    .venv/bin/python examples/mixture.py

The corpora are chapters of Python's own reference, cut into windows of letters; the small one comes several times.
"""

from pydoc_data.topics import topics

import numpy as np

import stokehold as sh

WINDOW = 64
WEIGHTS = {"if": 0.2, "types": 0.3, "specialnames": 0.5}


def corpus(number: int, name: str) -> sh.Source:
    """Returns the windows of a chapter, with the corpus's number."""
    letters = np.frombuffer(topics[name].encode(), np.uint8)
    windows = letters[: len(letters) // WINDOW * WINDOW].reshape(-1, WINDOW)
    return sh.Arrays({"tokens": windows, "corpus": np.full(len(windows), number)})


def main() -> None:
    """Counts what came of each corpus, before a stop and behind it."""
    source = sh.concat([corpus(number, name) for number, name in enumerate(WEIGHTS)])
    order = sh.Mixture(list(WEIGHTS.values()), num_samples=1000)
    counts = np.zeros(len(WEIGHTS), np.int64)
    with sh.Loader(source, batch_size=8, order=order, num_workers=2) as loader:
        for number, batch in enumerate(loader, 1):
            counts += np.bincount(batch["corpus"], minlength=len(WEIGHTS))
            if number == 50:
                state = loader.state_dict()
                break
    print(f"after 400 samples, of corpora of {list(source.lengths)} windows: {dict(zip(WEIGHTS, counts, strict=True))}")
    for rank in range(2):
        with sh.Loader(source, batch_size=20, order=order, num_workers=1, rank=rank, world_size=2) as loader:
            loader.load_state_dict(state)
            for batch in loader:
                counts += np.bincount(batch["corpus"], minlength=len(WEIGHTS))
    print(f"after 1000: {dict(zip(WEIGHTS, counts, strict=True))}")


if __name__ == "__main__":
    main()
