"""torchdata's iterator over slots, and states for another number of workers."""

from __future__ import annotations

from typing import Any

from stokehold.torch.internals import DATASET_STATE, DatasetKind, TorchdataIterator
from stokehold.torch.iterator import Pointing, Slots

__all__ = ["StatefulIterator", "for_workers"]


class StatefulIterator(Slots, TorchdataIterator, Pointing):
    """torchdata's iterator over slots."""

    _order_is_free = False

    def _failed(self, number: Any, failure: Any) -> Any:
        return super()._failed(number, failure), self._task_info[number][0], None

    def _irreplaceable(self, worker: int) -> str | None:
        state = self._worker_snapshots[self._worker_key(worker)].get_state()[DATASET_STATE]
        return None if state is None else "its dataset has a state, which only that worker knew"


def for_workers(state: dict[str, Any] | None, loader: Any) -> dict[str, Any] | None:
    """Returns a state for as many workers as a loader has.

    What a map-style dataset's workers do follows from the sampler, if the dataset has no state in each of them.
    """
    names = StatefulIterator
    if state is None or loader._dataset_kind != DatasetKind.Map or names._SNAPSHOT not in state:
        return state
    snapshot = state[names._SNAPSHOT]
    main, workers = snapshot[names._MAIN_SNAPSHOT], snapshot.get(names._WORKER_SNAPSHOTS, {})
    stateless = all(worker is None or worker.get(DATASET_STATE) is None for worker in workers.values())
    if main[names._NUM_WORKERS] == loader.num_workers or not stateless:
        return state
    snapshot = {
        **snapshot,
        names._MAIN_SNAPSHOT: {**main, names._NUM_WORKERS: loader.num_workers},
        names._WORKER_SNAPSHOTS: {},
        names._LAST_YIELDED_WORKER_ID: loader.num_workers - 1,
    }
    return {**state, names._SNAPSHOT: snapshot}
