"""torchdata's iterator over slots, and states for another number of workers."""

from __future__ import annotations

from typing import Any, Final

import torch

from stokehold.torch.fetching import KEY
from stokehold.torch.internals import (
    DATASET_STATE,
    FETCHER_STATE,
    INDEX_SAMPLER_STATE,
    ITERABLEDATASET_LEN_CALLED,
    ITERATOR_FINISHED,
    SAMPLER_ITER_STATE,
    SAMPLER_ITER_YIELDED,
    SHARED_SEED,
    DatasetKind,
    TorchdataInline,
    TorchdataIterator,
)
from stokehold.torch.iterator import Pointing, Slots

__all__ = ["StatefulIterator", "for_workers"]

SHARED: Final = (
    INDEX_SAMPLER_STATE,
    SAMPLER_ITER_STATE,
    SAMPLER_ITER_YIELDED,
    ITERABLEDATASET_LEN_CALLED,
    SHARED_SEED,
)
"""What states have with workers and without."""


class StatefulIterator(Slots, TorchdataIterator, Pointing):
    """torchdata's iterator over slots."""

    _order_is_free = False

    def resize(self, count: int) -> None:
        """Has so many workers from now on; its states do not tell any more who had which task."""
        if any(self._irreplaceable(worker) is not None for worker in range(len(self._workers))):
            raise ValueError(
                "the number of workers cannot change while an iterator runs: the dataset has a state in each worker"
            )
        super().resize(count)

    def _enter(self, seat: int) -> None:
        super()._enter(seat)
        first = self._worker_snapshots[self._worker_key(0)]
        self._worker_snapshots[self._worker_key(seat)] = type(first)({**first.get_state(), "worker_id": seat})

    def state_dict(self) -> dict[str, Any]:
        """Returns torchdata's state."""
        state: dict[str, Any] = super().state_dict()
        if self._pool.count is not None:
            snapshot = state[self._SNAPSHOT]
            step = snapshot[self._SNAPSHOT_STEP]
            state[self._SNAPSHOT] = _snapshot(snapshot[self._MAIN_SNAPSHOT], self._num_workers, step)
        return state

    def _failed(self, number: Any, failure: Any) -> Any:
        return super()._failed(number, failure), self._task_info[number][0], None

    def _irreplaceable(self, worker: int) -> str | None:
        state = self._worker_snapshots[self._worker_key(worker)].get_state()[DATASET_STATE]
        return None if state is None else "its dataset has a state, which only that worker knew"


def for_workers(state: dict[str, Any] | None, loader: Any) -> tuple[dict[str, Any] | None, int]:
    """Returns a state for as many workers as a loader has, and how many batches after it the loader was.

    What a map-style dataset's workers do follows from the sampler, if the dataset has no state in each of them.
    """
    if state is None or loader._dataset_kind != DatasetKind.Map:
        return state, 0
    names, count = StatefulIterator, loader.num_workers
    if names._SNAPSHOT not in state:
        return (state if count == 0 or state.get(DATASET_STATE) is not None else _with_workers(state, loader)), 0
    snapshot = state[names._SNAPSHOT]
    main, workers = snapshot[names._MAIN_SNAPSHOT], snapshot.get(names._WORKER_SNAPSHOTS, {})
    stateless = all(worker is None or worker.get(DATASET_STATE) is None for worker in workers.values())
    if main[names._NUM_WORKERS] == count or not stateless:
        return state, 0
    if count == 0:
        return _without_workers(state), state[names._STEPS_SINCE_SNAPSHOT]
    return {
        **state,
        names._SNAPSHOT: _snapshot(snapshot[names._MAIN_SNAPSHOT], count, snapshot[names._SNAPSHOT_STEP]),
    }, 0


def _snapshot(main: dict[str, Any], workers: int, step: int) -> dict[str, Any]:
    names = StatefulIterator
    return {
        names._SNAPSHOT_STEP: step,
        names._LAST_YIELDED_WORKER_ID: workers - 1,
        names._MAIN_SNAPSHOT: {**main, names._NUM_WORKERS: workers},
        names._WORKER_SNAPSHOTS: {},
    }


def _with_workers(state: dict[str, Any], loader: Any) -> dict[str, Any]:
    names = StatefulIterator
    base = state.get(KEY, {"base": None})["base"]
    if base is None:
        # Without workers PyTorch has no use for a seed of them.
        base = torch.empty((), dtype=torch.int64).random_(generator=loader.generator).item()
    main = {name: state[name] for name in SHARED} | {names._BASE_SEED: base}
    return {
        names._SNAPSHOT: _snapshot(main, loader.num_workers, state[TorchdataInline._NUM_YIELDED]),
        names._STEPS_SINCE_SNAPSHOT: 0,
        ITERATOR_FINISHED: state[ITERATOR_FINISHED],
    }


def _without_workers(state: dict[str, Any]) -> dict[str, Any]:
    names = StatefulIterator
    snapshot = state[names._SNAPSHOT]
    return {
        **{name: snapshot[names._MAIN_SNAPSHOT][name] for name in SHARED},
        TorchdataInline._NUM_YIELDED: snapshot[names._SNAPSHOT_STEP],
        FETCHER_STATE: None,
        DATASET_STATE: None,
        ITERATOR_FINISHED: state[ITERATOR_FINISHED],
    }
