"""Samples that ranks cannot share out evenly: padded and marked, left out, or uneven; metrics that are exact."""

from __future__ import annotations

import copy
import importlib.util
import itertools
import json
import os
import pickle
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import stokehold as sh
from support import PROGRAM_SECONDS, image_loader

EVENS = ("pad", "drop", "uneven")
PAGE = Path(__file__).resolve().parents[2] / "docs" / "validation.md"


def ranks(samples: int, world: int, **options: Any) -> list[sh.Loader]:
    source = sh.Arrays({"x": np.arange(samples)})
    given: dict[str, Any] = {"batch_size": 13, "num_workers": 0, "world_size": world} | options
    return [sh.Loader(source, rank=rank, **given) for rank in range(world)]


def rows(loader: sh.Loader) -> int:
    return sum(batch.rows for batch in loader)


def valid(batches: Any) -> list[int]:
    return [int(index) for batch in batches for index in batch.indices[batch.valid]]


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize(
    ("even", "shares", "figures"),
    [
        ("pad", [26, 26, 26, 26], (2, 0, 3, 3)),
        ("drop", [25, 25, 25, 25], (0, 2, 3, 3)),
        ("uneven", [26, 26, 25, 25], (0, 0, 3, 3)),
    ],
)
def test_102_samples_on_4_ranks(even: Any, shares: list[int], figures: tuple[int, ...], workers: int) -> None:
    loaders = ranks(102, 4, batch_size=12, shuffle=True, num_workers=workers, even=even)
    seen: list[int] = []
    for loader, share in zip(loaders, shares, strict=True):
        batches = list(loader)
        assert sum(batch.rows for batch in batches) == share
        seen += valid(batches)
        # Only the last row can be one that comes again.
        assert all(batch.valid[:-1].all() and batch.valid.dtype == bool for batch in batches)
        names = ("padding", "left_out", "fewest_batches", "most_batches")
        assert loader.stats()["even"] == {"even": even, **dict(zip(names, figures, strict=True))}
        loader.close()
    assert len(seen) == len(set(seen)) == 102 - figures[1]


def test_numbers_of_batches_may_differ_by_rank() -> None:
    loaders = ranks(26, 2, batch_size=4, even="uneven", drop_last=False)
    assert [len(loader) for loader in loaders] == [4, 4]
    loaders = ranks(25, 2, batch_size=4, even="uneven")
    assert [(len(loader), loader.remaining, len(list(loader))) for loader in loaders] == [(4, 4, 4), (3, 3, 3)]
    assert repr(loaders[1]).endswith("rank 1 of 2 by arguments, even='uneven', 3 to 4 batches a rank)")
    assert repr(ranks(26, 2, batch_size=4, even="uneven")[0]).endswith("rank 0 of 2 by arguments, even='uneven')")
    figures = loaders[0].stats()["even"]
    assert figures == {"even": "uneven", "padding": 0, "left_out": 0, "fewest_batches": 3, "most_batches": 4}
    # Each rank leaves out its own last batch, if that is not full.
    loaders = ranks(31, 2, batch_size=4, even="uneven", drop_last=True)
    assert [rows(loader) for loader in loaders] == [16, 12]
    assert loaders[0].stats()["even"]["left_out"] == 3


@pytest.mark.parametrize("workers", [0, 1])
def test_a_rank_may_have_nothing(workers: int) -> None:
    for even, shares in (("pad", [1, 1, 1]), ("drop", [0, 0, 0]), ("uneven", [1, 1, 0])):
        for loader, share in zip(ranks(2, 3, even=even, num_workers=workers), shares, strict=True):
            with loader:
                assert [rows(loader), rows(loader), len(loader)] == [share, share, share]


def test_one_trainer_has_all() -> None:
    for even in EVENS:
        (loader,) = ranks(27, 1, even=even)
        assert valid(loader) == list(range(27))
        assert loader.stats()["even"]["padding"] == 0
        assert "even=" not in repr(loader)


@given(
    length=st.integers(1, 40),
    stop=st.integers(0, 12),
    before=st.tuples(st.integers(1, 6), st.integers(1, 4)),
    after=st.tuples(st.integers(1, 6), st.integers(1, 4)),
    evens=st.tuples(st.sampled_from(EVENS), st.sampled_from(EVENS)),
)
def test_what_is_valid_comes_once_through_a_resumption(
    length: int, stop: int, before: tuple[int, int], after: tuple[int, int], evens: tuple[str, str]
) -> None:
    first = ranks(length, before[1], batch_size=before[0], even=evens[0], shuffle=True)
    seen: list[int] = []
    for loader in first:
        seen += valid(itertools.islice(loader, min(stop, len(loader))))
    # Rank 0 comes last to an epoch's end.
    state = first[0].state_dict()
    for loader in ranks(length, after[1], batch_size=after[0], even=evens[1], shuffle=True):
        loader.load_state_dict(state)
        expected = loader.remaining
        batches = list(loader)
        assert len(batches) == expected
        seen += valid(batches)
    assert len(seen) == len(set(seen))
    lost = length - len(seen)
    assert lost == 0 if evens[1] != "drop" else lost < after[1]


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("policy", ["skip", "replace"])
def test_rows_with_other_samples_in_place_of_bad_ones_are_not_valid(
    own_folder: Path, policy: Any, workers: int
) -> None:
    victims = sorted(own_folder.glob("*/*"), key=lambda path: (path.parent.name, path.name))
    bad = {2, 3, 17}
    for at in bad:
        victims[at].write_bytes(victims[at].read_bytes()[:40])
    options: dict[str, Any] = {"on_error": policy, "num_workers": workers, "world_size": 5, "batch_size": 2}
    seen: list[int] = []
    repeats = 0
    for rank in range(5):
        with image_loader(own_folder, rank=rank, **options) as loader:
            batches = list(loader)
            # 24 samples on 5 ranks: one row of padding beside those of three bad samples, or of one of these once more.
            repeats += sum(int((~batch.valid).sum()) for batch in batches)
            seen += valid(batches)
            assert not bad & {int(index) for batch in batches for index in batch.indices}
    assert sorted(seen) == [index for index in range(24) if index not in bad]
    assert repeats == 25 - len(seen)


def padded(**options: Any) -> Any:
    """The second rank's last batch, whose last row is padding."""
    loader = ranks(5, 2, batch_size=3, **options)[1]
    *_, last = loader
    return last


@pytest.fixture(scope="session", params=["numpy", "torch", "jax"])
def library(request: pytest.FixtureRequest) -> Any:
    """A library whose arrays a batch may have, its threads started."""
    return np if request.param == "numpy" else request.getfixturevalue(request.param)


def test_the_mask_goes_along(library: Any) -> None:
    output = library.__name__
    batch = padded(output=output)
    again = [batch, copy.copy(batch), copy.deepcopy(batch), pickle.loads(pickle.dumps(batch))]  # noqa: S301
    for made in [*again, batch.to("cpu")] if output == "torch" else again:
        assert made.valid.tolist() == [True, True, False]
        assert made.indices.tolist() == [1, 3, 0]
    # Nobody else's array, and none that is kept.
    batch.valid[:] = False
    assert batch.valid.any()
    with pytest.raises(AttributeError, match=r"made of arrays, and has no valid: .*valid_field"):
        _ = sh.Batch(dict(batch)).valid


def test_the_mask_as_a_field(library: Any) -> None:
    output = library.__name__
    options: dict[str, Any] = {"output": output, "valid_field": "counts"}
    batch = padded(**options)
    assert list(batch) == ["x", "counts"]
    assert np.asarray(batch["counts"]).tolist() == batch.valid.tolist() == [True, True, False]
    assert type(batch["counts"]) is type(batch["x"])
    assert np.asarray(batch["counts"]).dtype == bool
    assert np.asarray(batch.field("counts")).tolist() == [True, True, False]
    assert "counts: " in repr(batch)
    x, counts = padded(batch_type="tuple", **options)
    assert np.asarray(x)[np.asarray(counts)].tolist() == [1, 3]
    if output != "numpy":
        walk = library.utils._pytree.tree_map if output == "torch" else library.tree.map
        assert np.asarray(walk(lambda array: array[1:], batch)["counts"]).tolist() == [True, False]
    loader = ranks(5, 2, batch_size=None, **options)[1]
    assert loader.spec["counts"] == sh.FieldSpec("bool", ())
    assert [(int(sample["x"]), bool(sample["counts"])) for sample in loader] == [(1, True), (3, True), (0, False)]


def test_a_stream_is_what_it_is() -> None:
    class Numbers:
        def __iter__(self) -> Any:
            info = sh.get_worker_info()
            assert info is not None
            return iter(range(info.rank * 3, 5))

    options: dict[str, Any] = {"num_workers": 0, "batch_size": 2, "world_size": 2, "valid_field": "valid"}
    for rank in range(2):
        loader = sh.Loader(Numbers(), rank=rank, even="uneven", **options)
        found = [(batch["0"].tolist(), batch["valid"].all()) for batch in loader]
        assert found == ([([0, 1], True), ([2, 3], True), ([4], True)] if rank == 0 else [([3, 4], True)])
        figures = loader.stats()["even"]
        assert figures.pop("even") == "uneven"
        assert set(figures.values()) == {None}
    with pytest.raises(ValueError, match="even must be 'pad' or 'uneven', not 'drop', for Numbers, which is iterable"):
        sh.Loader(Numbers(), even="drop")


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"even": "odd"}, ValueError, "even must be one of 'pad', 'drop', 'uneven', not 'odd'"),
        ({"even": True}, TypeError, "even must be one of .*, not True"),
        ({"valid_field": "x"}, ValueError, "valid_field must be a name that no other field has, not 'x': .* are x"),
        ({"valid_field": 1}, TypeError, "valid_field must be a str, or None, not 1"),
    ],
)
@pytest.mark.parametrize("workers", [0, 1])
def test_arguments(options: dict[str, Any], error: type[Exception], message: str, workers: int) -> None:
    with pytest.raises(error, match=message):
        sh.Loader(sh.Arrays({"x": np.arange(8)}), num_workers=workers, **options)


# The page about validation.


def of_page(name: str) -> str:
    """A program of the page, by its function's name."""
    (program,) = re.findall(rf"```python\n(def {name}\(.*?)```", PAGE.read_text(), re.DOTALL)
    return str(program)


ON_RANKS = """
import sys
import json
import numpy as np
import torch
import stokehold as sh

{program}

SAMPLES, CLASSES = 31, 3
LABELS = np.arange(SAMPLES) % CLASSES
# Every fourth guess is wrong.
GUESSES = (LABELS + (np.arange(SAMPLES) % 4 == 0)) % CLASSES

if __name__ == "__main__":
    source = sh.Arrays({{"x": np.eye(CLASSES, dtype=np.float32)[GUESSES], "label": LABELS}})
    found = []
    {body}
    print(json.dumps(found))
"""

BY_TORCHMETRICS = """
    import torchmetrics
    torch.distributed.init_process_group("gloo")
    metric = torchmetrics.classification.MulticlassAccuracy(CLASSES, average="micro")
    for even, batch_size in (("pad", 4), ("uneven", 4), ("pad", 15), ("uneven", 15)):
        with sh.Loader(source, batch_size=batch_size, shuffle=True, output="torch", even=even, num_workers=0) as loader:
            found.append(float(accuracy(torch.nn.Identity(), loader, metric)))
    torch.distributed.destroy_process_group()
"""

BY_ACCELERATE = """
    import accelerate
    accelerator = accelerate.Accelerator(cpu=True)
    for batch_size in (4, 15):
        with sh.Loader(source, batch_size=batch_size, shuffle=True, output="torch", num_workers=0) as loader:
            guesses, labels = predictions(torch.nn.Identity(), loader, accelerator)
            # Over the number of all samples, which there must be.
            found += [float((guesses == labels).sum() / size) for size in (len(labels), SAMPLES)]
    accelerator.end_training()
"""


def on_two_ranks(program: str, body: str, path: Path) -> list[Any]:
    path.write_text(ON_RANKS.format(program=program, body=body.strip()))
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", str(path)]
    environment = dict(os.environ) | {"GLOO_SOCKET_IFNAME": "lo", "ACCELERATE_USE_CPU": "true"}
    run = subprocess.run(
        launch, env=environment, stdout=subprocess.PIPE, text=True, timeout=PROGRAM_SECONDS, check=True
    )
    return [json.loads(line) for line in run.stdout.splitlines() if line.startswith("[")]


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("package", "name", "body"),
    [("torchmetrics", "accuracy", BY_TORCHMETRICS), ("accelerate", "predictions", BY_ACCELERATE)],
)
def test_metrics_are_exact(package: str, name: str, body: str, tmp_path: Path) -> None:
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"{package} is not installed")
    found = on_two_ranks(of_page(name), body, tmp_path / "program.py")
    assert len(found) == 2
    for values in found:
        assert len(values) == 4
        # 8 of 31 are wrong; a float32 has 24 bits.
        assert values == [pytest.approx(23 / 31, rel=2**-23)] * 4
