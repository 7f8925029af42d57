"""Batches by the lengths of samples: packed rows, budgets, buckets; each value once, however they are made."""

from __future__ import annotations

import json
import os
import pickle
import random
import signal
from collections import Counter
from collections.abc import Callable, Iterable
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import stokehold as sh
from support import eventually, values

LEN = 97
LENGTHS = (np.arange(LEN) * 37 % 41).astype(np.int64)
"""0 to 40, some of them several times."""
TOKENS = [np.arange(length, dtype=np.int64) + 1000 * at + 1 for at, length in enumerate(LENGTHS)]
"""No two values are equal, and none is padding."""
WEIGHTS = [np.stack([row % 7, row % 5], axis=1).astype(np.float32) for row in TOKENS]


def table() -> sh.Table:
    return sh.Table({"tokens": sh.Lists(TOKENS), "weights": sh.Lists(WEIGHTS), "label": np.arange(LEN)})


FIELDS = {"tokens": 0.0, "weights": -1.5}
CUTS: dict[str, Callable[[], sh.Cut]] = {
    "best_fit": lambda: sh.Packing(64, LENGTHS, FIELDS, window=40),
    "first_fit": lambda: sh.Packing(41, LENGTHS, FIELDS, strategy="first_fit", max_samples=3),
    "concat": lambda: sh.Packing(17, LENGTHS, FIELDS, strategy="concat", labels="labels"),
    "budget": lambda: sh.TokenBudget(200, LENGTHS, FIELDS, pad_to_multiple_of=8, mask="mask", labels="labels"),
    "dense": lambda: sh.TokenBudget(120, LENGTHS, FIELDS, padding=False, segment_ids="segment_ids"),
    "unsorted": lambda: sh.TokenBudget(120, LENGTHS, FIELDS, sort=False, position_ids="position_ids"),
    "buckets": lambda: sh.Buckets([5, 20, 40], [8, 4, 2], LENGTHS, FIELDS, mask="mask"),
    "boundaries": lambda: sh.Buckets([5, 20, 40], 3, LENGTHS, FIELDS, pad_to="boundary"),
    "padded": lambda: sh.Buckets([40], 6, LENGTHS, FIELDS),
    "dense_rows": lambda: sh.Buckets([40], 6, LENGTHS, FIELDS, padding=False),
}


def loader(name: str, source: Any = None, **options: Any) -> sh.Loader:
    of_rows = {"batch_size": 3} if isinstance(CUTS[name](), sh.Packing) else {}
    given: dict[str, Any] = {"seed": 5, "num_workers": 0, "shuffle": True, "cut": CUTS[name](), **of_rows}
    return sh.Loader(table() if source is None else source, **given | options)


def flat(field: Any) -> npt.NDArray[Any]:
    """All values of a field, of whatever shape."""
    if isinstance(field, sh.Ragged):
        return np.asarray(field.values)
    array = np.asarray(field)
    return array.reshape(-1, *array.shape[2:])


def parts(batch: sh.Batch) -> list[npt.NDArray[Any]]:
    """The tokens of each row of a batch, found by what is no padding."""
    tokens, lengths = flat(batch["tokens"]), batch.lengths
    real = np.flatnonzero(tokens)
    assert len(real) == lengths.sum()
    return np.split(tokens[real], np.cumsum(lengths)[:-1])


def bytes_of(given: Iterable[sh.Batch]) -> list[Any]:
    def of(field: Any) -> bytes:
        return flat(field).tobytes() if isinstance(field, sh.Ragged) else np.asarray(field).tobytes()

    return [(b.epoch, b.indices.tolist(), b.valid.tolist(), {n: of(b[n]) for n in b}) for b in given]


@pytest.mark.parametrize("name", CUTS)
def test_any_number_of_workers_makes_the_same_batches(name: str) -> None:
    single = loader(name)
    expected = [bytes_of(single) for _ in range(3)]
    assert [epoch[0][1:] for epoch in expected[1:]] != [epoch[0][1:] for epoch in expected[:-1]]
    for workers in (1, 2, 4):
        with loader(name, num_workers=workers) as given:
            assert [bytes_of(given) for _ in range(3)] == expected


@pytest.mark.parametrize("start", ["forkserver", "fork", "spawn"])
def test_datasets_of_python_are_cut(start: Any) -> None:
    dataset = [{"tokens": tokens, "weights": WEIGHTS[at], "label": at} for at, tokens in enumerate(TOKENS)]
    for name in ("concat", "budget"):
        expected = bytes_of(loader(name))
        with loader(name, dataset, num_workers=2, start=start) as given:
            assert bytes_of(given) == expected
        assert bytes_of(loader(name, dataset)) == expected


@pytest.mark.parametrize("name", CUTS)
def test_each_value_comes_once_in_its_sample(name: str) -> None:
    for batch in (given := loader(name)):
        rows, labels = parts(batch), batch["label"]
        assert labels.tolist() == batch.indices.tolist()
        for row, index in zip(rows, batch.indices, strict=True):
            whole = TOKENS[index]
            assert row.size == 0 or (row == whole[row[0] - whole[0] :][: row.size]).all()
            if name != "concat":
                assert row.size == whole.size
        spans = np.flatnonzero(flat(batch["tokens"]))
        weights = flat(batch["weights"])
        assert (weights[spans] == np.concatenate([WEIGHTS[0][:0], *(np.stack([r % 7, r % 5], 1) for r in rows)])).all()
        assert (np.delete(weights, spans, axis=0) == -1.5).all()
    given.set_epoch(0)
    seen = np.concatenate([part for batch in given for part in parts(batch)])
    assert sorted(seen) == sorted(np.concatenate(TOKENS))


def test_packed_rows_say_which_sample_is_where() -> None:
    for name in ("best_fit", "first_fit", "concat"):
        for batch in loader(name):
            tokens, segments, positions = batch["tokens"], batch["segment_ids"], batch["position_ids"]
            assert tokens.shape == segments.shape == positions.shape
            assert ((segments > 0) == (tokens > 0)).all()
            for row in range(len(tokens)):
                found = segments[row][segments[row] > 0]
                assert (np.diff(found) >= 0).all()
                for segment in np.unique(found):
                    at = segments[row] == segment
                    assert len(np.unique(tokens[row][at] // 1000)) == 1
                    assert positions[row][at].tolist() == list(range(at.sum()))
            if name == "concat":
                labels = batch["labels"]
                assert (labels == np.where(tokens > 0, tokens, -100)).all()


def test_rows_that_are_cut_go_on_in_the_next_one() -> None:
    given = loader("concat", shuffle=False, batch_size=2)
    rows = np.concatenate([batch["tokens"] for batch in given])
    everything = np.concatenate(TOKENS)
    expected = np.zeros(rows.size, np.int64)
    expected[: everything.size] = everything
    assert rows.ravel().tolist() == expected.tolist()
    assert rows.shape[1] == 17


@pytest.mark.parametrize("name", ["budget", "unsorted", "dense"])
def test_a_batch_has_no_more_values_than_its_budget(name: str) -> None:
    most = {"budget": 200, "unsorted": 120, "dense": 120}[name]
    sizes = [len(flat(batch["tokens"])) for batch in loader(name)]
    assert max(sizes) <= most
    # Two neighbours could not have been one.
    assert np.mean(sizes) > most / 2


def test_batches_are_padded_in_the_slot() -> None:
    for batch in loader("budget"):
        tokens, mask, lengths = batch["tokens"], batch["mask"], batch.lengths
        assert tokens.shape == (batch.rows, -(-max(lengths) // 8) * 8) == mask.shape
        assert mask.dtype == np.bool_
        assert (mask == (np.arange(tokens.shape[1]) < lengths[:, None])).all()
        assert (batch["labels"] == np.where(mask, tokens, -100)).all()
        for row, index in zip(tokens, batch.indices, strict=True):
            assert row[: LENGTHS[index]].tolist() == TOKENS[index].tolist()
    widths = {batch["tokens"].shape[1] for batch in loader("boundaries")}
    assert widths == {5, 20, 40}
    sizes = Counter(batch.rows for batch in loader("boundaries", drop_last=True))
    assert set(sizes) == {3}


def test_values_without_padding_lie_one_after_the_other() -> None:
    for output in ("numpy", "torch"):
        for batch in loader("dense", output=output):
            tokens = batch["tokens"]
            assert isinstance(tokens, sh.Ragged)
            assert tokens.lengths.tolist() == LENGTHS[batch.indices].tolist() == batch.lengths.tolist()
            assert tokens.values.shape == (tokens.offsets[-1],)
            rows = [np.asarray(row).tolist() for row in tokens]
            assert rows == [TOKENS[index].tolist() for index in batch.indices]
            assert batch["weights"].shapes == [(int(LENGTHS[index]), 2) for index in batch.indices]
            assert batch.cu_seqlens.tolist() == sorted(set(tokens.offsets.tolist()))
            nested = tokens.nested()
            assert [row.tolist() for row in nested.unbind()] == rows
            padded = np.asarray(tokens.padded(-1))
            assert [row[row >= 0].tolist() for row in padded] == rows
            moved = batch.to("cpu")["tokens"] if output == "torch" else tokens
            assert (moved.values.tolist(), moved.offsets.tolist()) == (tokens.values.tolist(), tokens.offsets.tolist())
            copy = pickle.loads(pickle.dumps(batch))  # noqa: S301 (made here)
            assert [np.asarray(row).tolist() for row in copy["tokens"]] == rows
            assert copy.lengths.tolist() == batch.lengths.tolist()


def test_sequences_are_told_as_flash_attention_takes_them() -> None:
    for name in ("best_fit", "budget"):
        for batch in loader(name, output="torch"):
            flat_tokens = batch["tokens"].reshape(-1)
            ends = batch.cu_seqlens
            assert (ends.dtype, ends[0], ends[-1]) == (np.int32, 0, len(flat_tokens))
            pieces = [flat_tokens[low:high] for low, high in pairwise(ends)]
            assert batch.max_seqlen == max(map(len, pieces))
            documents = [piece for piece in pieces if piece[0] > 0]
            assert [piece.tolist() for piece in documents] == [row.tolist() for row in parts(batch) if row.size]
            assert all((piece == 0).all() for piece in pieces if piece[0] == 0)


@settings(deadline=None, max_examples=60)
@given(
    name=st.sampled_from(sorted(CUTS)),
    stop=st.integers(0, 30),
    before=st.tuples(st.integers(1, 5), st.integers(1, 4)),
    after=st.tuples(st.integers(1, 5), st.integers(1, 4)),
    epoch=st.integers(0, 3),
)
def test_the_rest_is_read_once_by_any_number_of_ranks(
    name: str, stop: int, before: tuple[int, int], after: tuple[int, int], epoch: int
) -> None:
    source = table()

    def ranks(shape: tuple[int, int]) -> list[sh.Loader]:
        rows, world = shape
        of_rows = {"batch_size": rows} if isinstance(CUTS[name](), sh.Packing) else {}
        return [loader(name, source, **of_rows, world_size=world, even="uneven", rank=rank) for rank in range(world)]

    seen: list[int] = []
    state: dict[str, Any] = {}
    for rank in ranks(before):
        rank.set_epoch(epoch)
        batches = iter(rank)
        for _ in range(min(stop, len(rank))):
            seen += np.concatenate(parts(next(batches))).tolist()
        # Rank 0 is the last one to come to an epoch's end.
        state = state or rank.state_dict()
    assert len(json.dumps(state)) < 4096
    for rank in ranks(after):
        rank.load_state_dict(state)
        seen += [value for batch in rank for part in parts(batch) for value in part.tolist()]
    if state["cursor"] or state["epoch"] == epoch:
        assert sorted(seen) == sorted(np.concatenate(TOKENS).tolist())


@settings(deadline=None, max_examples=60)
@given(
    names=st.lists(st.sampled_from(sorted(CUTS)), min_size=2, max_size=3),
    stops=st.lists(st.integers(0, 12), min_size=3, max_size=3),
    worlds=st.lists(st.integers(1, 3), min_size=3, max_size=3),
)
def test_an_epoch_is_continued_with_another_cut(names: list[str], stops: list[int], worlds: list[int]) -> None:
    source = table()
    seen: list[int] = []
    state: dict[str, Any] | None = None
    for at, name in enumerate(names):
        is_last = at == len(names) - 1
        found: dict[str, Any] = {}
        for rank in range(worlds[at]):
            given = loader(name, source, world_size=worlds[at], even="uneven", rank=rank)
            if state is not None:
                refused = ""
                try:
                    given.load_state_dict(state)
                except ValueError as error:
                    refused = str(error)
                if refused:
                    assert "in the middle of a sample" in refused
                    assert name != "concat"
                    assert given.state_dict()["cursor"] == 0
                    return
            if state is not None and state["epoch"] > 0:
                return
            assert given.audit()["epoch"] == 0
            batches = list(given) if is_last else list(islice(given, stops[at]))
            seen += [value for batch in batches for part in parts(batch) for value in part.tolist()]
            found = found or given.state_dict()
        state = found
        assert len(json.dumps(state)) < 4096
    assert sorted(seen) == sorted(np.concatenate(TOKENS).tolist())


@pytest.mark.parametrize("workers", [0, 2])
def test_a_budget_may_change_in_the_middle_of_an_epoch(workers: int) -> None:
    def with_budget(tokens: int) -> sh.Loader:
        return loader("budget", cut=sh.TokenBudget(tokens, LENGTHS, FIELDS), num_workers=workers)

    with with_budget(200) as first, with_budget(90) as second, with_budget(90) as third, with_budget(200) as whole:
        expected = bytes_of(whole)
        next_epoch = [bytes_of(second) for _ in range(2)][1]
        begun = list(islice(first, 3))
        second.load_state_dict(first.state_dict())
        assert second.state_dict()["cut"]["earlier"][0]["cursor"] == 3
        batches = iter(second)
        rest = [next(batches) for _ in range(4)]
        assert max(batch["tokens"].size for batch in rest) <= 90
        number = bytes_of([rest[2]])
        assert bytes_of([second.replay(0, 2)]) == number
        third.load_state_dict(second.state_dict())
        rest += list(third)
        assert bytes_of(rest[4:]) == bytes_of(batches)
        indices = np.concatenate([batch.indices for batch in [*begun, *rest]])
        assert sorted(indices.tolist()) == list(range(LEN))
        # The next epoch, and this one from its beginning, are whole.
        assert bytes_of(second) == next_epoch
        third.load_state_dict(first.state_dict())
        third.set_epoch(0)
        assert len(third) < len(rest) + 3
        third.set_epoch(1)
        third.set_epoch(0)
        assert sorted(np.concatenate([batch.indices for batch in third]).tolist()) == list(range(LEN))
        # A state of the same cut goes on as it did.
        whole.load_state_dict(first.state_dict())
        assert bytes_of(whole) == expected[3:]


def test_what_has_begun_in_advance_gives_way_to_another_cut(tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    first = loader("budget")
    first.set_epoch(1)
    begun = list(islice(first, 3))
    with loader("unsorted", Noted(notes), num_workers=1, prefetch=2) as second:
        before = notes.stat().st_size
        assert len(list(second)) > 3
        # The worker has begun epoch 1 as a whole.
        assert eventually(lambda: notes.stat().st_size > before + LEN)
        second.load_state_dict(first.state_dict())
        rest = list(second)
    indices = np.concatenate([batch.indices for batch in [*begun, *rest]])
    assert sorted(indices.tolist()) == list(range(LEN))


def test_a_long_rule_is_not_told_by_a_state() -> None:
    def buckets(count: int) -> sh.Buckets:
        return sh.Buckets([*range(41, 41 + count)], 4, LENGTHS, FIELDS)

    given = loader("buckets", cut=buckets(500))
    expected = bytes_of(islice(given, 3, None))
    given.set_epoch(0)
    next(iter(given))
    state = given.state_dict()
    assert len(json.dumps(state)) < 1024
    again = loader("buckets", cut=buckets(500))
    again.load_state_dict(state)
    assert bytes_of(again)[2:] == expected
    with pytest.raises(ValueError, match="another Buckets, which is too long for a state to tell"):
        loader("buckets", cut=buckets(501)).load_state_dict(state)


@pytest.mark.parametrize("even", ["pad", "drop", "uneven"])
@pytest.mark.parametrize("name", CUTS)
def test_every_rank_has_as_many_batches_and_an_audit_says_so(name: str, even: Any) -> None:
    ranks = [loader(name, even=even, rank=rank, world_size=3) for rank in range(3)]
    told = ranks[0].audit()
    got = [list(rank) for rank in ranks]
    assert [len(batches) for batches in got] == [share["batches"] for share in told["ranks"]]
    if even != "uneven":
        assert len(set(map(len, got))) == 1
    counts = Counter(int(i) for batches in got for b in batches for i in b.indices[b.valid])
    assert sum(share["rows"] - share["padding"] for share in told["ranks"]) == counts.total()
    if name != "concat":
        assert max(counts.values()) == 1
        assert len(counts) + told["left_out"] == LEN


def test_a_kill_changes_nothing() -> None:
    single = loader("concat")
    expected = [bytes_of(single) for _ in range(4)]
    for start in ("forkserver", "spawn"):
        dataset = [{"tokens": tokens, "weights": WEIGHTS[at], "label": at} for at, tokens in enumerate(TOKENS)]
        with loader("concat", dataset, num_workers=2, start=start) as given:
            found = []
            for _ in range(4):
                batches = iter(given)
                os.kill(given.stats()["workers"][0]["pid"], signal.SIGKILL)
                found.append(bytes_of(batches))
            assert found == expected


@pytest.mark.parametrize("name", ["best_fit", "concat", "budget", "buckets"])
def test_a_batch_is_replayed_and_epochs_can_be_chosen(name: str) -> None:
    with loader(name, num_workers=2) as given:
        given.set_epoch(3)
        third = bytes_of(given)
        assert len(third) == given._batches_of(3)
        for number, expected in enumerate(third):
            assert bytes_of([given.replay(3, number)]) == [expected]
        with pytest.raises(ValueError, match=f"batch must be below {len(third)}, the batches of epoch 3"):
            given.replay(3, len(third))
        given.set_epoch(3)
        assert bytes_of(given) == third


def test_a_sample_is_made_alone() -> None:
    for source in (table(), [{"tokens": tokens, "weights": WEIGHTS[at]} for at, tokens in enumerate(TOKENS)]):
        found = loader("best_fit", source).sample(11)
        assert found["tokens"].tolist() == TOKENS[11].tolist()
        assert set(found) == {"tokens", "weights", *({"label"} if isinstance(source, sh.Table) else ())}


def test_batches_that_are_given_are_not_cut() -> None:
    given = [[0, 1, 2], [3, 4, 5]]
    for batches in (given, lambda _: given, torch.utils.data.BatchSampler(range(6), 3, drop_last=False)):
        with pytest.raises(ValueError, match="cut must be None, not Packing"):
            loader("best_fit", shuffle=False, order=sh.Explicit(batches))


@pytest.mark.parametrize("workers", [0, 2])
def test_what_remains_is_that_of_the_epoch_which_comes(workers: int) -> None:
    with loader("unsorted", num_workers=workers) as given:
        counts = []
        for epoch in range(4):
            expected = given.remaining
            assert (expected, given.epoch) == (len(given), epoch)
            assert expected == given.stats()["even"]["most_batches"]
            counts.append(len(list(given)))
            assert counts[-1] == expected
    # Else nothing would be seen of the epoch.
    assert len(set(counts)) > 1


def test_looking_at_other_epochs_leaves_that_which_goes_on() -> None:
    expected = bytes_of(loader("concat"))
    with loader("concat", num_workers=2, prefetch=1) as given:
        batches, found = iter(given), []
        for batch in batches:
            found.append(batch)
            given.audit(len(found) + 5)
            given.stats()
            assert given.remaining == len(expected) - len(found)
        assert bytes_of(found) == expected
        for epoch in (7, 1, 4, 4, 2):
            given.set_epoch(epoch)
            assert next(iter(given)).epoch == epoch


def test_epochs_may_be_begun_in_any_order() -> None:
    """Those that the workers had once, and have forgotten since, are sent again."""
    draws = random.Random(1)
    with loader("concat", num_workers=2, prefetch=1) as given:
        for _ in range(150):
            epoch, taken = draws.randrange(8), draws.choice([1, 1, 2, 5, 50])
            given.set_epoch(epoch)
            assert {batch.epoch for batch in islice(given, taken)} == {epoch}
        assert given.stats()["restarts"] == 0


class Noted:
    """A dataset that notes each sample that is made."""

    def __init__(self, notes: Path) -> None:
        self.notes = notes

    def __len__(self) -> int:
        return LEN

    def __getitem__(self, index: int) -> dict[str, Any]:
        with self.notes.open("ab") as file:
            file.write(b".")
        return {"tokens": TOKENS[index], "weights": WEIGHTS[index], "label": index}


def test_the_next_epoch_is_begun_in_advance(tmp_path: Path) -> None:
    """Its groups are made while the one before it is read."""
    notes = tmp_path / "notes"
    with loader("budget", Noted(notes), num_workers=1, prefetch=2) as given:
        before = notes.stat().st_size
        assert len(list(given)) > 3
        # Nobody has asked for the next epoch yet.
        assert eventually(lambda: notes.stat().st_size > before + LEN)


@pytest.mark.parametrize(
    "chosen",
    [
        sh.Repeated(2),
        sh.Weighted(np.arange(LEN) % 3, num_samples=150),
        sh.Explicit([*range(30, 60), 5, 5, 5]),
        sh.Explicit(lambda epoch: [(epoch + 3 * at) % LEN for at in range(80)]),
        sh.Weighted(np.arange(LEN) + 1, num_samples=40, replacement=False),
        sh.Curriculum(LENGTHS, epochs=2),
        sh.Mixture([1, 2], lengths=[7, 90], num_samples=120),
    ],
    ids=lambda order: repr(order)[:9],
)
@pytest.mark.parametrize("name", ["best_fit", "concat", "dense", "buckets"])
def test_cuts_go_with_every_order(chosen: sh.Order, name: str) -> None:
    plain = sh.Loader(table(), batch_size=10, order=chosen, num_workers=0, seed=5)
    expected = [Counter(int(i) for batch in plain for i in batch.indices) for _ in range(3)]
    one = loader(name, shuffle=False, order=chosen)
    single = [bytes_of(one) for _ in range(3)]
    with loader(name, shuffle=False, order=chosen, num_workers=2) as given:
        for epoch in range(3):
            batches = list(given)
            assert bytes_of(batches) == single[epoch]
            values_of = Counter(int(value) // 1000 for batch in batches for part in parts(batch) for value in part)
            assert values_of == {i: n * LENGTHS[i] for i, n in expected[epoch].items() if LENGTHS[i]}
            assert given.audit(epoch)["positions"] == expected[epoch].total()
        state = given.state_dict()
    again = loader(name, shuffle=False, order=chosen)
    again.load_state_dict(state)
    assert (again.epoch, again.remaining) == (3, again._batches_of(3))


def test_what_is_not_shuffled_comes_in_the_order_of_the_source() -> None:
    first = [batch.indices[0] for batch in loader("padded", shuffle=False)]
    assert first == list(range(0, LEN, 6))
    rows = [int(batch.indices[0]) for batch in loader("best_fit", shuffle=False, batch_size=1)]
    # Within a window, rows come in the order of their first samples.
    windows = [[row for row in rows if row // 40 == window] for window in range(3)]
    assert rows == [row for window in windows for row in sorted(window)]


def test_samples_that_are_too_long_go_by_what_is_chosen() -> None:
    with pytest.raises(
        ValueError, match=r"Packing: sample 1 has length 37, and the most is 30, and 23 others too.*too_long="
    ):
        loader("best_fit", cut=sh.Packing(30, LENGTHS, FIELDS))
    whole = loader("best_fit", cut=sh.Packing(30, LENGTHS, FIELDS, too_long="truncate"))
    seen = {int(i): part for batch in whole for i, part in zip(batch.indices, parts(batch), strict=True)}
    assert all(seen[i].tolist() == TOKENS[i][:30].tolist() for i in range(LEN))
    short = loader("best_fit", cut=sh.Packing(30, LENGTHS, FIELDS, too_long="drop"))
    assert sorted(int(i) for batch in short for i in batch.indices) == np.flatnonzero(LENGTHS <= 30).tolist()
    assert short.audit()["left_out"] == (LENGTHS > 30).sum()


def test_a_sample_of_another_length_is_a_bad_one() -> None:
    wrong = LENGTHS.copy()
    wrong[50] += 1
    for workers in (0, 2):
        with loader("padded", cut=sh.Buckets([41], 8, wrong, "tokens"), num_workers=workers) as given:
            batches, failed = iter(given), 0
            good: list[int] = []
            while True:
                try:
                    good += next(batches).indices.tolist()
                except StopIteration:
                    break
                except sh.DecodeError as error:
                    failed += 1
                    told = str(error)
                    assert "50" in told
                    assert (
                        f"`tokens` has {LENGTHS[50]} values, and the lengths of Buckets say {LENGTHS[50] + 1}" in told
                    )
            assert (failed, 50 in good) == (1, False)


class Broken:
    """A dataset with a sample that raises, one that ends its process, and one of another length."""

    def __len__(self) -> int:
        return LEN

    def __getitem__(self, index: int) -> dict[str, Any]:
        if index == 50:
            raise OSError("gone")
        if index == 20 and sh.get_worker_info() is not None:
            os._exit(3)
        tokens = np.append(TOKENS[index], 1) if index == 30 else TOKENS[index]
        return {"tokens": tokens, "label": index + 1, "object": {index}, "other": np.arange(index % 3)}


@pytest.mark.parametrize("name", ["best_fit", "concat", "budget", "dense", "buckets"])
def test_a_bad_sample_is_left_out(name: str) -> None:
    bad = {20, 30, 50}
    fields = {"tokens": 7.0}
    kinds: dict[str, Callable[[], sh.Cut]] = {
        "best_fit": lambda: sh.Packing(64, LENGTHS, fields, segment_ids="marks"),
        "concat": lambda: sh.Packing(17, LENGTHS, fields, strategy="concat", segment_ids="marks"),
        "budget": lambda: sh.TokenBudget(200, LENGTHS, fields, segment_ids="marks"),
        "dense": lambda: sh.TokenBudget(120, LENGTHS, fields, padding=False, segment_ids="marks"),
        "buckets": lambda: sh.Buckets([5, 20, 40], 4, LENGTHS, fields, segment_ids="marks"),
    }
    cut = kinds[name]()
    options: dict[str, Any] = {"batch_size": 3} if isinstance(cut, sh.Packing) else {}
    seen: set[int] = set()
    with sh.Loader(Broken(), cut=cut, num_workers=2, on_error="skip", shuffle=True, seed=5, **options) as given:
        for batch in given:
            marks, tokens = flat(batch["marks"]), flat(batch["tokens"])
            assert (tokens[marks == 0] == 7).all()
            for row, (index, valid) in enumerate(zip(batch.indices, batch.valid, strict=True)):
                label, made = batch["label"][row], batch.objects("object")[row]
                assert (label, made) == ((index + 1, {index}) if valid else (0, None))
                assert len(batch["other"][row]) == (index % 3 if valid else 0)
                assert valid == (index >= 0)
            seen |= set(batch.indices[batch.valid].tolist())
            real = sum(LENGTHS[i] for i in set(batch.indices[batch.valid].tolist())) if name != "concat" else None
            assert real is None or (marks > 0).sum() == real
        assert set(range(LEN)) - seen == bad
        assert {each["index"] for each in given.stats()["quarantine"]} == bad


def test_lengths_may_be_a_field_or_the_source_says_them() -> None:
    expected = bytes_of(loader("best_fit"))
    measured = table().with_columns({"size": LENGTHS})
    for lengths in ("size", None):
        given = loader("best_fit", measured, cut=sh.Packing(64, lengths, FIELDS, window=40))
        found = bytes_of(given)
        assert [each[:3] for each in found] == [each[:3] for each in expected]
    with pytest.raises(TypeError, match="lengths must be numbers for list, which is no stokehold source"):
        loader("best_fit", [{"tokens": TOKENS[0]}], cut=sh.Packing(64, "size"))
    with pytest.raises(ValueError, match="field 'label' has one length"):
        loader("best_fit", cut=sh.Packing(64, None, "label"))


def test_what_cannot_be_is_refused() -> None:
    def refused(match: str, kind: type[Exception] = ValueError, **options: Any) -> None:
        with pytest.raises(kind, match=match):
            sh.Loader(table(), **{"num_workers": 0} | options)

    packing = sh.Packing(64, LENGTHS, FIELDS)
    refused("Packing: lengths must be one for each sample of the source, 97, not 2", cut=sh.Packing(64, [1, 2]))
    refused("Packing: there is no field `token`; samples have tokens, weights", cut=sh.Packing(64, LENGTHS, "token"))
    refused("field `label` is label: int64", cut=sh.Packing(64, LENGTHS, "label"))
    refused("samples have a field `label` already", cut=sh.Packing(64, LENGTHS, labels="label"))
    refused("field `tokens` of int64 cannot have 0.5", cut=sh.Packing(64, LENGTHS, {"tokens": 0.5}))
    refused("TokenBudget: batch_size must be left out, not 2", cut=sh.TokenBudget(99, LENGTHS), batch_size=2)
    refused('Packing: on_error must be "raise" or "skip", not "replace"', cut=packing, on_error="replace")
    refused("batch_size must be a number, not None", cut=packing, batch_size=None)
    refused("cut must be a Packing", TypeError, cut=64)
    refused("batch_transforms", cut=packing, batch_transforms=[np.asarray])
    with pytest.raises(ValueError, match="which is iterable"):
        sh.Loader(Stream(), cut=packing, num_workers=0)
    for wrong in ([1.5], [[1]], ["x"]):
        with pytest.raises(TypeError, match="Packing: lengths must be whole numbers"):
            sh.Packing(64, wrong)
    with pytest.raises(ValueError, match=r"Packing: lengths\[1\] must be 0 to 4294967295, not -1"):
        sh.Packing(64, [1, -1])
    with pytest.raises(ValueError, match="boundaries must rise"):
        sh.Buckets([4, 4], 1, LENGTHS)
    with pytest.raises(ValueError, match="batch_sizes must be one for each boundary, 2, not 1"):
        sh.Buckets([4, 5], [1], LENGTHS)
    with pytest.raises(NotImplementedError, match="Packing, a TokenBudget, Buckets or a MultiScale"):
        sh.Loader(table(), cut=sh.Cut())
    with pytest.raises(AttributeError, match="this batch has no lengths: its loader has no cut"):
        _ = next(iter(sh.Loader(table(), num_workers=0))).lengths


class Stream:
    """An iterable dataset."""

    def __iter__(self) -> Any:
        return iter([{"tokens": TOKENS[1]}])


def test_a_state_belongs_to_its_lengths() -> None:
    given = loader("best_fit")
    next(iter(given))
    state = given.state_dict()
    other = sh.Packing(64, np.minimum(LENGTHS, 30), FIELDS)
    with pytest.raises(ValueError, match="with other lengths of samples"):
        loader("best_fit", cut=other).load_state_dict(state)
    with pytest.raises(ValueError, match="this loader has no cut="):
        sh.Loader(table(), shuffle=True, seed=5, num_workers=0).load_state_dict(state)
    with pytest.raises(ValueError, match="cursor 999, and an epoch has"):
        given.load_state_dict(state | {"cursor": 999})


def test_frames_with_axes_of_their_own_and_other_libraries() -> None:
    frames = [np.full((length, 3, 2), at, np.float32) for at, length in enumerate(LENGTHS[:20])]
    source = sh.Table({"frames": sh.Lists(frames), "image": sh.Lists(TOKENS[:20])})
    cut = sh.TokenBudget(100, LENGTHS[:20], {"frames": -1.0})
    for batch in sh.Loader(source, cut=cut, num_workers=0, output="torch"):
        assert batch["frames"].shape[2:] == (3, 2)
        assert (batch["frames"] < 0).any(dim=3).any(dim=2).sum() == (batch.lengths.max() - batch.lengths).sum()
        # The other field keeps rows of its own.
        assert [len(row) for row in batch["image"]] == LENGTHS[batch.indices].tolist()


def test_the_arena_has_no_room_for_the_longest_sample_in_each_row() -> None:
    lengths = np.ones(1000, np.int64)
    lengths[7] = 50_000
    source = sh.Table({"tokens": sh.Lists([np.arange(length) for length in lengths])})
    fixed = sh.Loader(source, batch_size=64, num_workers=0)
    dense = sh.Loader(source, cut=sh.TokenBudget(50_000, lengths, padding=False), num_workers=0)
    list(fixed), list(dense)
    assert dense.stats()["arena_bytes"] * 30 < fixed.stats()["arena_bytes"]


def test_workers_of_the_core_do_as_they_do_without_a_cut() -> None:
    with loader("dense_rows", shuffle=False, num_workers=2) as given:
        plain = sh.Loader(table(), batch_size=6, num_workers=0)
        for (epoch, indices, _), dense in zip(values(plain), list(given), strict=False):
            assert (epoch, list(indices)) == (dense.epoch, dense.indices.tolist())
            assert [row.tolist() for row in dense["tokens"]] == [TOKENS[index].tolist() for index in indices]
