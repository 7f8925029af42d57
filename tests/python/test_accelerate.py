"""Native loaders in Accelerate: whatever it does with a loader, each rank has its own batches, and all of them once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from support import as_ranks

pytest.importorskip("torch")
pytest.importorskip("accelerate")

pytestmark = pytest.mark.thorough

SAMPLES = 41

PRELUDE = """
import json, os, sys
import accelerate, numpy as np, torch
from accelerate.utils import DataLoaderConfiguration
import stokehold as sh
from stokehold.torch import adopt

SAMPLES = 41

def made(**options):
    given = {"batch_size": 4, "shuffle": True, "num_workers": 1, "output": "torch"} | options
    x = np.arange(SAMPLES, dtype=np.float32).reshape(-1, 1)
    return sh.Loader(sh.Arrays({"x": x}), **given)

def prepared(loader, **options):
    steps = options.pop("steps", 1)
    configuration = DataLoaderConfiguration(**options)
    accelerator = accelerate.Accelerator(cpu=True, gradient_accumulation_steps=steps, dataloader_config=configuration)
    return accelerator, accelerator.prepare(adopt(loader))

def ids(batch):
    return [int(x) for x in batch["x"].flatten()]

def expected(epochs, **options):
    loader = made(**options)
    return [[ids(batch) for batch in loader] for _ in range(epochs)]
"""

SHARDS = """
def case(loader_options, **options):
    accelerator, loader = prepared(made(**loader_options), **options)
    seen, gathered, ends = [], [], []
    for _ in range(2):
        seen.append([])
        for batch in loader:
            seen[-1].append(ids(batch))
            assert batch.indices.tolist() == ids(batch)
            gathered += [int(x) for x in accelerator.gather_for_metrics(batch["x"])]
            ends.append(accelerator.gradient_state.end_of_dataloader)
    right = expected(2, **loader_options)
    assert len(loader) == len(right[0])
    assert ends == ([False] * (len(right[0]) - 1) + [True]) * 2
    accelerator.free_memory()
    return {"seen": seen, "expected": right, "gathered": gathered}

if __name__ == "__main__":
    cases = {}
    for name, options in {
        "none": {},
        "even": {"even_batches": True, "dispatch_batches": False},
        "uneven": {"even_batches": False, "dispatch_batches": None},
        "seedable": {"use_seedable_sampler": True},
        "stateful": {"use_stateful_dataloader": True},
    }.items():
        for drop_last in (False, True):
            cases[f"{name} {drop_last}"] = case({"drop_last": drop_last}, **options)
    print(json.dumps(cases), flush=True)
    accelerate.PartialState().wait_for_everyone()
"""


@pytest.mark.parametrize("ranks", [1, 2, 3])
def test_each_rank_has_its_own_batches(ranks: int, tmp_path: Path) -> None:
    said = [json.loads(text.splitlines()[-1]) for text in as_ranks(PRELUDE + SHARDS, tmp_path, ranks=ranks)]
    for name in said[0]:
        seen = [rank[name]["seen"] for rank in said]
        assert seen == [rank[name]["expected"] for rank in said], name
        for epoch in range(2):
            rows = [index for rank in seen for batch in rank[epoch] for index in batch]
            if name.endswith("False"):
                assert sorted(set(rows)) == list(range(SAMPLES))
                assert len(rows) == -(-SAMPLES // ranks) * ranks
            else:
                assert len(set(rows)) == len(rows) == SAMPLES // (4 * ranks) * 4 * ranks
        for rank in said:
            # What evens out the ranks is left out: it is one row.
            in_all = 2 * (SAMPLES if name.endswith("False") else SAMPLES // (4 * ranks) * 4 * ranks)
            assert len(rank[name]["gathered"]) == in_all
            assert len(set(rank[name]["gathered"])) == (
                SAMPLES if name.endswith("False") else len(set(rank[name]["gathered"]))
            )


STATES = """
def numbers(loader):
    return [ids(batch) for batch in loader]

if __name__ == "__main__":
    accelerator, loader = prepared(made(), use_stateful_dataloader=True)
    first = numbers(loader)
    before = []
    for batch in loader:
        before.append(ids(batch))
        if len(before) == 2:
            accelerator.save_state(sys.argv[1])
            break
    accelerator.free_memory()
    accelerator, loader = prepared(made(num_workers=0), use_stateful_dataloader=True)
    accelerator.load_state(sys.argv[1])
    resumed = [first, before + numbers(loader), numbers(loader)]
    accelerator.free_memory()

    accelerator, loader = prepared(made())
    loader.set_epoch(1)
    skipped = [first, before + numbers(accelerator.skip_first_batches(loader, 2))]
    loader.set_epoch(2)
    skipped.append(numbers(loader))

    accelerator, loader = prepared(made(), steps=4)
    model, optimizer = torch.nn.Linear(1, 1), None
    model = accelerator.prepare(model)
    synchronised = []
    for batch in loader:
        with accelerator.accumulate(model):
            accelerator.backward(model(batch["x"]).mean())
            synchronised.append(accelerator.sync_gradients)
    told = {"resumed": resumed, "skipped": skipped, "expected": expected(3), "steps": synchronised}
    print(json.dumps(told), flush=True)
    accelerator.wait_for_everyone()
"""


@pytest.mark.parametrize("ranks", [1, 2])
def test_states_and_steps(ranks: int, tmp_path: Path) -> None:
    for text in as_ranks(PRELUDE + STATES, tmp_path, str(tmp_path / "state"), ranks=ranks):
        said = json.loads(text.splitlines()[-1])
        assert said["resumed"] == said["expected"]
        assert said["skipped"] == said["expected"]
        assert said["steps"] == [
            (step + 1) % 4 == 0 or step + 1 == len(said["steps"]) for step in range(len(said["steps"]))
        ]


DISPATCHED = """
if __name__ == "__main__":
    accelerator, loader = prepared(made(rank=0, world_size=1), dispatch_batches=True)
    seen = [ids(batch) for batch in loader]
    accelerator.free_memory()
    accelerator, loader = prepared(made(rank=0, world_size=1))
    shared = [ids(batch) for batch in loader]
    accelerator.free_memory()
    whole = expected(1, rank=0, world_size=1)[0]
    errors = []
    _, split = prepared(made(), split_batches=True)
    try:
        next(iter(split))
    except RuntimeError as error:
        errors.append(str(error))
    _, loader = prepared(made(), dispatch_batches=True)
    try:
        next(iter(loader))
    except RuntimeError as error:
        errors.append(str(error))
    print(json.dumps([seen, shared, whole, errors]), flush=True)
    # The other one waits for what this one was to give it.
    os._exit(0)
"""


def test_one_process_that_reads_for_all(tmp_path: Path) -> None:
    said: list[Any] = [json.loads(text.splitlines()[-1]) for text in as_ranks(PRELUDE + DISPATCHED, tmp_path)]
    (one, one_shared, whole, errors), (two, two_shared, _, others) = said
    for mine, theirs in ((one, two), (one_shared, two_shared)):
        rows = [index for batch in mine + theirs for index in batch]
        assert set(rows) == set(range(SAMPLES))
    assert [batch for pair in zip(one[:5], two[:5], strict=True) for batch in pair] == whole[:10]
    assert "leave split_batches out" in errors[0]
    assert errors[0].replace("rank 0", "rank 1") == others[0]
    assert "leave dispatch_batches out" in errors[1]
