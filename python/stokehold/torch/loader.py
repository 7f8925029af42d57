"""``DataLoader``: PyTorch's, with other workers."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from torch.utils.data import DataLoader as TorchDataLoader

from stokehold import _native
from stokehold.torch.fetching import Inline, Noted, Policy
from stokehold.torch.internals import DatasetKind, are_known
from stokehold.torch.warned import at_the_users_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    import torch
    from torch.utils.data import Dataset, Sampler

__all__ = ["DataLoader"]

T_co = TypeVar("T_co", covariant=True)


class DataLoader(TorchDataLoader[T_co]):
    """``torch.utils.data.DataLoader``, whose workers write batches into shared memory that is used again.

    Arguments, attributes, errors, warnings, order and random numbers are PyTorch's. What differs:

    - A batch's tensors are views of a slot. They are the holder's alone, also after the loader is gone; the slot is
      used again once all of them are.
    - A worker that is killed is replaced, and its batches are done again, where the dataset is map-style.
    - An exception of a sample carries its index as a note (PEP 678).

    Args:
        dataset: A map-style or an iterable dataset.
        batch_size: PyTorch's, as all that are not named here.
        on_worker_death: What happens when a worker ends that should not: ``"restart"``, the default, starts another one
            that does the unfinished batches, with the dataset as it was when the iterator was made and the worker's
            seeds; ``"raise"`` raises, as PyTorch does. A batch that ends two workers raises, and so do iterable
            datasets, whose worker cannot say how far it had come.
        rng: What the random numbers of `random`, NumPy's global generator and PyTorch follow from: ``"worker"``, the
            default, is PyTorch's rule, by which each worker has a seed; with ``"sample"`` each sample of a map-style
            dataset has one, of the iterator's seed, its epoch and the sample's index. Then nothing depends on the
            number of workers, a task goes to the worker that has the fewest, and ``__getitems__`` is not used.
        on_error: What happens to a sample of a map-style dataset that raises: ``"raise"``, the default, raises; with
            ``"skip"`` its batch is one shorter, and with ``"replace"`` another sample of the batch takes its row. A
            batch of which nothing is left raises. `bad_samples` lists them; the log ``stokehold`` has each once.
        **others: Arguments of a later PyTorch.

    Raises:
        ValueError: As PyTorch's; another `on_worker_death`, `rng` or `on_error`; `rng` or `on_error` for an iterable
            dataset, or `on_error` without batches.
        RuntimeError: While iterating, as PyTorch's: a worker ended, or `timeout` seconds passed.
        MemoryError: While iterating: a batch does not fit under a memory limit of this process.
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
        on_worker_death: Literal["restart", "raise"] = "restart",
        rng: Literal["worker", "sample"] = "worker",
        on_error: Literal["raise", "skip", "replace"] = "raise",
        **others: Any,
    ) -> None:
        if on_worker_death not in {"restart", "raise"}:
            raise ValueError(f"on_worker_death must be 'restart' or 'raise', not {on_worker_death!r}")
        if rng not in {"worker", "sample"}:
            raise ValueError(f"rng must be 'worker' or 'sample', not {rng!r}")
        if on_error not in {"raise", "skip", "replace"}:
            raise ValueError(f"on_error must be 'raise', 'skip' or 'replace', not {on_error!r}")
        if not in_order:
            # PyTorch has had this argument since 2.6.
            others["in_order"] = False
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
            **others,
        )
        self.on_worker_death = on_worker_death
        self.rng = rng
        self.on_error = on_error
        self._policy = Policy(rng, on_error)
        if not self._policy.is_torchs and self._dataset_kind != DatasetKind.Map:
            raise ValueError("rng='sample' and on_error need a map-style dataset: samples of another one have no index")
        if on_error != "raise" and not self._auto_collation:
            raise ValueError(f"on_error={on_error!r} needs batches, and batch_size is None")
        self._note = Noted(on_error)
        self.bad_samples: dict[Any, str] = self._note.found
        """The indices of samples that were skipped or replaced, in the order in which they failed first, and why."""
        self._make_slots()

    def check_worker_number_rationality(self) -> None:
        """Warns, as PyTorch does, where there are more workers than processors; at the user's line."""
        at_the_users_line(TorchDataLoader.check_worker_number_rationality)(self)

    def _make_slots(self) -> None:
        self._slots, self._slots_of = _native.Slots(), os.getpid()

    def _own_slots(self) -> None:
        """Sees to it that a forked process does not write to the slots of the one that it was forked from."""
        if self._slots_of != os.getpid():
            self._make_slots()

    def _as_asked(self, iterator: Any) -> Any:
        """Returns an iterator without workers, whose fetcher does what is asked beyond PyTorch's."""
        if not self._policy.is_torchs:
            arguments = self.dataset, self._auto_collation, self.collate_fn, self.drop_last
            iterator._dataset_fetcher = Inline(self._note, self._policy, iterator._base_seed, *arguments)
        return iterator

    def _get_iterator(self) -> Any:
        if not are_known("torch"):
            if not self._policy.is_torchs:
                raise RuntimeError("rng='sample' and on_error need a PyTorch whose inner parts are known")
            return super()._get_iterator()
        if self.num_workers == 0:
            return self._as_asked(super()._get_iterator())
        from stokehold.torch.iterator import SlotIterator  # noqa: PLC0415 (it needs those parts)

        self.check_worker_number_rationality()
        self._own_slots()
        return SlotIterator(self)

    def __getstate__(self) -> dict[str, Any]:
        return {
            name: value for name, value in self.__dict__.items() if name not in {"_slots", "_slots_of", "_iterator"}
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _iterator=None)
        self._make_slots()
