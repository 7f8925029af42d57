"""Iterable datasets in the native pool."""

from __future__ import annotations

import itertools
import os
import signal
from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest

import iterables
import stokehold as sh
from iterables import Drawn, Faulty, Shares
from support import Row, Strikes, values


def loader(dataset: Any, **options: Any) -> sh.Loader:
    given: dict[str, Any] = {"batch_size": 4, "seed": 5, "num_workers": 2}
    return sh.Loader(dataset, **given | options)


def read(dataset: Any, **options: Any) -> list[list[Any]]:
    """The rows of each batch of one epoch of a dataset with one field."""
    with loader(dataset, **options) as made:
        return [batch["0"].tolist() for batch in made]


def chain(lists: Iterable[list[Any]]) -> list[Any]:
    return list(itertools.chain.from_iterable(lists))


def in_turn(samples: int, workers: int, size: int, *, drop_last: bool = False) -> list[list[int]]:
    """What the batches of `Shares` are: each worker's own, one of each after the other, as long as it has any."""
    shares = [list(range(worker, samples, workers)) for worker in range(workers)]
    batches = [[share[at : at + size] for at in range(0, len(share), size)] for share in shares]
    dealt = [batch for turn in itertools.zip_longest(*batches) for batch in turn if batch]
    return [batch for batch in dealt if len(batch) == size or not drop_last]


@pytest.mark.parametrize(("samples", "workers"), [(37, 0), (37, 1), (37, 2), (37, 3), (5, 4), (2, 3), (16, 2)])
def test_batches_are_the_workers_in_turn(samples: int, workers: int) -> None:
    expected = in_turn(samples, max(workers, 1), 4)
    with loader(Shares(samples), num_workers=workers) as made:
        for epoch in range(3):
            assert [batch["0"].tolist() for batch in made] == expected, f"epoch {epoch}"


@pytest.mark.parametrize("workers", [0, 3])
def test_batches_that_are_not_full_may_be_left_out(workers: int) -> None:
    found = read(Shares(37), num_workers=workers, drop_last=True)
    assert found == in_turn(37, max(workers, 1), 4, drop_last=True)


@pytest.mark.filterwarnings("ignore:This DataLoader will create")
def test_batches_are_those_of_pytorch() -> None:
    torch = pytest.importorskip("torch")

    class Dataset(torch.utils.data.IterableDataset):  # type: ignore[misc,name-defined]
        def __iter__(self) -> Any:
            info = torch.utils.data.get_worker_info()
            return iter(range(37)) if info is None else iter(range(info.id * 11, 37, info.id + 1))

    for workers in (0, 3):
        theirs = torch.utils.data.DataLoader(Dataset(), batch_size=4, num_workers=workers)
        assert read(Dataset(), num_workers=workers) == [batch.tolist() for batch in theirs]


@pytest.mark.thorough
def test_pytorch_that_comes_with_the_iteration_is_told_all_the_same() -> None:
    pytest.importorskip("torch")
    assert sorted(chain(read(iterables.LateTorch()))) == list(range(12))


def test_a_dataset_that_gives_all_workers_the_same_is_refused() -> None:
    with pytest.raises(ValueError, match=r"Same gives every worker the same samples.*take num_workers=1 \(now 2\)"):
        loader(iterables.Same())
    with pytest.raises(ValueError, match="gives every worker the same"):
        loader(iterables.Same(), start="fork")
    assert read(iterables.Same(), num_workers=1) == read(iterables.Same(), num_workers=0)


def test_a_share_may_be_taken_in_worker_init() -> None:
    dataset = Faulty(int, 10)

    def take_share(worker: int) -> None:
        info = sh.get_worker_info()
        assert info is not None
        assert info.id == worker
        shares = range(info.id, 10, info.num_workers)
        info.dataset.share = lambda: shares

    assert read(dataset, worker_init=take_share, batch_size=5) == [[0, 2, 4, 6, 8], [1, 3, 5, 7, 9]]


@pytest.mark.parametrize("workers", [0, 2])
def test_workers_know_of_ranks(workers: int) -> None:
    ranks = [read(Shares(40), rank=rank, world_size=2, num_workers=workers) for rank in (0, 1)]
    assert sorted(chain(chain(ranks))) == list(range(40))
    assert sh.get_worker_info() is None, "in the trainer"


def drawn(**options: Any) -> list[Row]:
    with loader(Drawn(), **options) as made:
        return values(made, epochs=2)


@pytest.fixture(scope="module")
def undisturbed() -> list[Row]:
    return drawn(num_workers=2)


def test_what_is_drawn_depends_on_seed_epoch_rank_and_worker(undisturbed: list[Row]) -> None:
    assert drawn(num_workers=0) == drawn(num_workers=1)
    others = [undisturbed, drawn(seed=6), drawn(rank=1, world_size=2)]
    numbers = [dict(fields)["random"][at : at + 8] for rows in others for _, _, fields in rows for at in (0, 8)]
    numbers = [number for number in numbers if number]
    assert len(set(numbers)) == len(numbers)
    epochs = {(epoch, dict(fields)["epoch"][:8]) for epoch, _, fields in undisturbed}
    assert {epoch: int.from_bytes(told, "little") for epoch, told in epochs} == {0: 0, 1: 1}


@pytest.mark.parametrize("rng", ["sample", "worker"])
def test_bytes_do_not_depend_on_workers_that_are_killed(rng: Any) -> None:
    whole = drawn(rng=rng)
    with loader(Drawn(), rng=rng, prefetch=2) as made:
        strikes, found = Strikes(made), []
        for _ in range(2):
            for batch in made:
                strikes.delivered()
                found += [(batch.epoch, tuple(map(int, batch.indices)), batch["numpy"].tobytes())]
                del batch
                strikes.kill(1)
        assert strikes.killed
    assert found == [(epoch, indices, dict(fields)["numpy"]) for epoch, indices, fields in whole]


@pytest.mark.parametrize("workers", [0, 2])
def test_an_epoch_is_resumed_where_it_was(
    undisturbed: list[Row], workers: int, caplog: pytest.LogCaptureFixture
) -> None:
    whole = undisturbed if workers else drawn(num_workers=0)
    with loader(Drawn(), num_workers=workers) as made:
        batches = iter(made)
        for _ in range(3):
            next(batches)
        state = made.state_dict()
    with loader(Drawn(), num_workers=workers) as made:
        made.load_state_dict(state)
        assert values(made) + values(made) == whole[3:]
    assert ("again, to get where its stream was" in caplog.text) == bool(workers)
    with loader(Drawn(), num_workers=3) as made, pytest.raises(ValueError, match="another number of workers"):
        made.load_state_dict(state)


def test_an_epoch_that_is_given_up_is_no_loss(undisturbed: list[Row]) -> None:
    with loader(Drawn()) as made:
        for _, batches in zip(range(3), iter(lambda: iter(made), None), strict=False):
            next(batches)
            made.set_epoch(0)
        assert values(made, epochs=2) == undisturbed


@pytest.mark.parametrize("workers", [0, 2])
def test_an_exception_fails_its_batch(workers: int) -> None:
    expected = in_turn(24, max(workers, 1), 4)
    with loader(Faulty(iterables.refuse_odd_tens), num_workers=workers) as made:
        batches, found, failed = iter(made), [], []
        while True:
            try:
                found.append(next(batches)["0"].tolist())
            except KeyError as error:
                failed.append(error.args[0])
            except StopIteration:
                break
    assert failed == ["number 10", "number 13"]
    assert found == [batch for batch in expected if not {10, 13} & set(batch)]


@pytest.mark.parametrize("workers", [0, 2])
def test_a_bad_sample_is_left_out(workers: int) -> None:
    with loader(Faulty(iterables.refuse_odd_tens), num_workers=workers, on_error="skip") as made:
        found = [batch["0"].tolist() for batch in made]
        stats = made.stats()
    expected = [[number for number in batch if number not in {10, 13}] for batch in in_turn(24, max(workers, 1), 4)]
    assert found == expected
    # The next epoch begins in advance, and its bad samples count too.
    assert stats["failed_samples"] >= 2
    assert {failure["key"] for failure in stats["quarantine"]} == (
        {"sample 5 of stream 0", "sample 6 of stream 1"}
        if workers
        else {"sample 10 of stream 0", "sample 13 of stream 0"}
    )


@pytest.mark.parametrize("workers", [0, 2])
def test_a_generator_that_an_exception_has_ended_is_not_passed_over(workers: int) -> None:
    dataset = Faulty(iterables.refuse_odd_tens, is_generator=True)
    with (
        loader(dataset, num_workers=workers, on_error="skip") as made,
        pytest.raises(OSError, match="is iterated by a generator"),
    ):
        list(made)
    with loader(dataset, num_workers=workers) as made:
        batches = iter(made)
        with pytest.raises(KeyError, match="number 10"):
            list(batches)


def test_batches_of_which_all_samples_fail_are_errors() -> None:
    with loader(Faulty(iterables.refuse_all), on_error="skip") as made:
        batches = iter(made)
        assert [next(batches)["0"].tolist() for _ in range(2)] == [[0, 2, 4, 6], [1, 3, 5, 7]]
        for number in (14, 15, 22, 23):
            with pytest.raises(KeyError, match=f"number {number}"):
                next(batches)
        assert list(batches) == []


@pytest.mark.parametrize("workers", [0, 2])
def test_an_exception_in_iter_is_told_once(workers: int) -> None:
    with loader(iterables.Broken(20), num_workers=workers) as made:
        assert [batch["0"].tolist() for batch in made] == in_turn(20, max(workers, 1), 4)
        batches = iter(made)
        for _ in range(max(workers, 1)):
            with pytest.raises(LookupError, match="no such epoch"):
                next(batches)
        assert list(batches) == []


def test_a_sample_that_ends_two_workers_ends_its_stream() -> None:
    with loader(Faulty(iterables.end_at_ten)) as made:
        batches = iter(made)
        assert [next(batches)["0"].tolist() for _ in range(2)] == [[0, 2, 4, 6], [1, 3, 5, 7]]
        with pytest.raises(sh.WorkerError, match=r"sample 5 of stream 0.*ended 2 workers.*lost"):
            next(batches)
        assert [batch["0"].tolist() for batch in batches] == [[9, 11, 13, 15], [17, 19, 21, 23]]
        # In the next epoch it is met again.
        assert next(iter(made))["0"].tolist() == [0, 2, 4, 6]


@pytest.mark.thorough
def test_going_over_what_is_behind_is_no_stall() -> None:
    with loader(Faulty(iterables.take_time, 20), num_workers=1, stall_timeout=3.0, prefetch=1) as made:
        batches = iter(made)
        found = [next(batches)["0"].tolist() for _ in range(4)]
        os.kill(made.stats()["workers"][0]["pid"], signal.SIGKILL)
        found += [batch["0"].tolist() for batch in batches]
        assert found == in_turn(20, 1, 4)
        assert made.stats()["restarts"] == 1


@pytest.mark.parametrize("workers", [0, 2])
def test_a_longer_sample_gets_more_room(workers: int) -> None:
    with loader(Faulty(iterables.grow, 24), num_workers=workers) as made:
        lengths = [list(map(int, batch["0"].lengths)) for batch in made]
    assert lengths == [[10 * number for number in batch] for batch in in_turn(24, max(workers, 1), 4)]


@pytest.mark.parametrize("start", ["fork", "spawn"])
def test_workers_may_start_in_any_way(start: Any) -> None:
    assert read(Shares(37), start=start) == in_turn(37, 2, 4)


def test_single_samples_come_in_turn() -> None:
    with loader(Shares(5), batch_size=None) as made:
        assert [int(sample["0"]) for sample in made] == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("workers", [0, 2])
def test_functions_change_samples_and_batches(workers: int) -> None:
    marked = read(Shares(10), num_workers=workers, batch_transforms=[iterables.mark])
    assert marked == [[number + 1000 for number in batch] for batch in in_turn(10, max(workers, 1), 4)]
    with loader(Shares(10), num_workers=workers, transforms=[sh.Map(iterables.doubled)]) as made:
        found = [(batch["twice"].tolist(), batch["label"].tolist()) for batch in made]
    assert [[twice // 2 for twice in batch] for batch, _ in found] == in_turn(10, max(workers, 1), 4)
    assert len({label for _, labels in found for label in labels}) == 10


def test_a_dataset_that_is_its_own_iterator_loses_nothing() -> None:
    with loader(iterables.Counting(), num_workers=0) as made:
        assert [chain(batch["0"].tolist() for batch in made) for _ in range(2)] == [list(range(10))] * 2
    assert chain(read(iterables.OneShot(), num_workers=0)) == list(range(10))
    assert chain(read(iterables.OneShot(), num_workers=1)) == list(range(10))


@pytest.mark.parametrize("given", [iter([1, 2]), (number for number in range(3)), map(int, "12")])
def test_what_can_be_gone_over_once_is_refused(given: Any) -> None:
    with pytest.raises(TypeError, match="gone over more than once"):
        loader(given)


def test_what_streams_cannot_do_is_refused() -> None:
    with pytest.raises(ValueError, match="shuffle must be False, not True, for Shares"):
        loader(Shares(), shuffle=True)
    with pytest.raises(ValueError, match="on_error must be 'raise' or 'skip', not 'replace', for Shares"):
        loader(Shares(), on_error="replace")
    with pytest.raises(ValueError, match="ended at once"):
        loader(Shares(0))


def test_the_length_is_what_the_dataset_says() -> None:
    class Sized(Shares):
        def __len__(self) -> int:
            return self.samples

    with loader(Sized(10), num_workers=0) as made:
        assert (len(made), made.samples) == (3, 10)
        assert "3 batches of 0" in repr(made)
    with loader(Sized(10), num_workers=0, drop_last=True) as made:
        assert len(made) == 2
    with loader(Shares(10), num_workers=0) as made:
        with pytest.raises(TypeError, match="has no len"):
            len(made)
        assert "num_workers=0, batches of 0" in repr(made)


def test_indices_count_the_streams_in_turn() -> None:
    with loader(Shares(10)) as made:
        indices = [np.asarray(batch.indices).tolist() for batch in made]
    assert indices == [[0, 1, 2, 3], [4, 5, 6, 7], [8], [12]]
