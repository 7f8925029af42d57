"""``StatefulDataLoader``: torchdata's, with other workers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypeVar

from torchdata.stateful_dataloader import StatefulDataLoader as TorchdataLoader

from stokehold.torch.fetching import KEY
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
    a map-style dataset without a state of its own may be loaded with another number of workers, none included; with
    ranks also with another number of those: each loads the state that one of them has saved. With ``rng="sample"`` a
    state also has the seed and the epoch, which torchdata passes over.

    Args:
        dataset: A map-style or an iterable dataset.
        batch_size: torchdata's, as all that are not named here.
        on_worker_death: As of `DataLoader`. A map-style dataset with a state of its own in each worker raises too.
        rng: As of `DataLoader`. A task goes to the worker whose turn it is.
        on_error: As of `DataLoader`.
        seed: As of `DataLoader`.
        rank: As of `DataLoader`.
        world_size: As of `DataLoader`.

    Raises:
        ValueError: As of `DataLoader`.
        TypeError: As of `DataLoader`.
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
        seed: int | None = None,
        rank: Any = None,
        world_size: int | None = None,
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
            seed=seed,
            rank=rank,
            world_size=world_size,
        )

    next_iter_state: dict[str, Any] | None

    def state_dict(self) -> dict[str, Any]:
        """Returns torchdata's state, and with ``rng="sample"`` also the seed and the epoch."""
        state: dict[str, Any] = super().state_dict()
        if self.rng == "sample":
            iterator: Any = self._iterator
            base = iterator._base_seed if self.seed is None else None
            state |= {KEY: {"seed": self.seed, "base": base, "epoch": iterator._epoch}}
        return state

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Makes the next iteration go on where a state was taken.

        Raises:
            ValueError: With ``rng="sample"``: it was taken with another seed.
        """
        key = state_dict.get(KEY) if self.rng == "sample" else None
        if key is not None and key["seed"] != self.seed:
            raise ValueError(f"a state was taken with seed={key['seed']}, and the loader has seed={self.seed}")
        super().load_state_dict(state_dict)

    def _get_iterator(self) -> Any:
        state, behind = self.next_iter_state, 0
        key = state.get(KEY) if state is not None and self.rng == "sample" else None
        if key is not None:
            self._epochs.next = key["epoch"]
        known = are_known("torch") and are_known("torchdata")
        if known:
            from stokehold.torch.stateful_iterator import StatefulIterator, for_workers  # noqa: PLC0415 (as `DataLoader`)

            state, behind = for_workers(state, self)
            if self.num_workers > 0:
                self.next_iter_state = None
                self.check_worker_number_rationality()
                self._own_slots()
                return self._begun(StatefulIterator(self, state))
        elif self.num_workers > 0:
            self._must_do_without_parts()
        self._epochs.begin()
        self.next_iter_state = state
        iterator = TorchdataLoader._get_iterator(self)
        if key is not None and key["base"] is not None:
            iterator._base_seed = key["base"]
        self._as_asked(iterator)
        for _ in range(behind):
            next(iterator)
        return iterator
