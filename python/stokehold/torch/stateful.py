"""``StatefulDataLoader``: torchdata's, with other workers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypeVar

from torchdata.stateful_dataloader import StatefulDataLoader as TorchdataLoader

from stokehold.torch.internals import are_known
from stokehold.torch.loader import DataLoader

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    import torch
    from torch.utils.data import Dataset, Sampler

T_co = TypeVar("T_co", covariant=True)

__all__ = ["StatefulDataLoader"]


class StatefulDataLoader(DataLoader[T_co], TorchdataLoader[T_co]):
    """``torchdata.stateful_dataloader.StatefulDataLoader``, whose workers write batches into slots.

    Arguments and states are torchdata's; what else differs from PyTorch's loader is said of `DataLoader`. The state of
    a map-style dataset without a state of its own may be loaded with another number of workers.

    Args:
        dataset: A map-style or an iterable dataset.
        batch_size: torchdata's, as all that are not named here.
        on_worker_death: As of `DataLoader`. A map-style dataset with a state of its own in each worker raises too.
        rng: As of `DataLoader`. A task goes to the worker whose turn it is.
        on_error: As of `DataLoader`.

    Raises:
        ValueError: As of `DataLoader`.
    """

    def __init__(
        self,
        dataset: Dataset[T_co],
        batch_size: int | None = 1,
        shuffle: bool | None = None,
        sampler: Sampler[Any] | Iterable[Any] | None = None,
        batch_sampler: Sampler[list[Any]] | Iterable[list[Any]] | None = None,
        num_workers: int = 0,
        collate_fn: Callable[[list[Any]], Any] | None = None,
        pin_memory: bool = False,
        drop_last: bool = False,
        timeout: float = 0,
        worker_init_fn: Callable[[int], None] | None = None,
        multiprocessing_context: Any = None,
        generator: torch.Generator | None = None,
        *,
        prefetch_factor: int | None = None,
        persistent_workers: bool = False,
        pin_memory_device: str = "",
        in_order: bool = True,
        snapshot_every_n_steps: int | None = 1,
        on_worker_death: Literal["restart", "raise"] = "restart",
        rng: Literal["worker", "sample"] = "worker",
        on_error: Literal["raise", "skip", "replace"] = "raise",
    ) -> None:
        super().__init__(
            dataset,
            batch_size,
            shuffle,
            sampler,
            batch_sampler,
            num_workers,
            collate_fn,
            pin_memory,
            drop_last,
            timeout,
            worker_init_fn,
            multiprocessing_context,
            generator,
            prefetch_factor=prefetch_factor,
            persistent_workers=persistent_workers,
            pin_memory_device=pin_memory_device,
            in_order=in_order,
            snapshot_every_n_steps=snapshot_every_n_steps,
            on_worker_death=on_worker_death,
            rng=rng,
            on_error=on_error,
        )

    next_iter_state: dict[str, Any] | None

    def _get_iterator(self) -> Any:
        if self.num_workers == 0 or not (are_known("torch") and are_known("torchdata")):
            return self._as_asked(TorchdataLoader._get_iterator(self))
        from stokehold.torch.stateful_iterator import StatefulIterator, for_workers  # noqa: PLC0415 (as in `DataLoader`)

        self.check_worker_number_rationality()
        self._own_slots()
        state, self.next_iter_state = self.next_iter_state, None
        return StatefulIterator(self, for_workers(state, self))
