"""``DataLoader``: PyTorch's, with other workers."""

from __future__ import annotations

import os
import weakref
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar

from torch.utils.data import DataLoader as TorchDataLoader

from stokehold import _native
from stokehold.checks import one_of, whole
from stokehold.sizes import integer
from stokehold.torch.fetching import Inline, Noted, Policy
from stokehold.torch.internals import DatasetKind, are_known
from stokehold.torch.sampler import Epochs, RankSampler, shared
from stokehold.torch.warned import at_the_users_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    import torch
    from torch.utils.data import Dataset, Sampler

__all__ = ["DataLoader"]

T_co = TypeVar("T_co", covariant=True)

ON_WORKER_DEATH: Final[tuple[Literal["restart", "raise"], ...]] = ("restart", "raise")
RNG: Final[tuple[Literal["worker", "sample"], ...]] = ("worker", "sample")
ON_ERROR: Final[tuple[Literal["raise", "skip", "replace"], ...]] = ("raise", "skip", "replace")


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
            dataset has one, of the seed, the epoch and the sample's index, by the rule of `stokehold.Loader`: for the
            same three, a dataset draws the same in both. Then nothing depends on the number of workers, a task goes to
            the worker that has the fewest, and ``__getitems__`` is not used.
        on_error: What happens to a sample of a map-style dataset that raises: ``"raise"``, the default, raises; with
            ``"skip"`` its batch is one shorter, and with ``"replace"`` another sample of the batch takes its row. A
            batch of which nothing is left raises. `bad_samples` lists them; the log ``stokehold`` has each once.
        seed: The seed of ``rng="sample"``, and of the order of ranks, which is ``0`` by default; 0 to 2**64 - 1.
            Without it, samples follow from what PyTorch draws from `generator` for each iterator. The epochs are
            numbered from 0; see `set_epoch`.
        rank: This trainer's number, where a map-style dataset is to be shared among several; or the process group of
            those that share it, or a `DeviceMesh` of one axis, such as ``mesh["dp"]``. Each then reads its part by a
            `DistributedSampler`, which the loader makes: the samples of an epoch come exactly once with `drop_last`,
            which leaves those out that do not fill a batch on every rank, and else the first ones come again to even
            the ranks out, as with ``DistributedSampler``, and nothing marks them. If only `world_size` is given, it is
            ``RANK`` of the environment. If neither is, the loader is nobody's part, as PyTorch's.
        world_size: The number of trainers. If only `rank` is given, as a number, it is ``WORLD_SIZE`` of the
            environment.
        **others: Arguments of a later PyTorch.

    Raises:
        ValueError: As PyTorch's; another `on_worker_death`, `rng` or `on_error`; `rng`, `on_error` or ranks for an
            iterable dataset, `on_error` without batches, or a `seed` that nothing follows from; a rank that is none of
            `world_size`, one of the two that is not known, or ranks beside a sampler.
        TypeError: A number is none.
        RuntimeError: While iterating, as PyTorch's: a worker ended, or `timeout` seconds passed.
        MemoryError: While iterating: a batch does not fit under a memory limit of this process.
    """

    num_workers: int

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
        seed: int | None = None,
        rank: Any = None,
        world_size: int | None = None,
        **others: Any,
    ) -> None:
        own = type(self).__name__
        on_worker_death = one_of(f"{own}: on_worker_death", on_worker_death, ON_WORKER_DEATH)
        rng = one_of(f"{own}: rng", rng, RNG)
        on_error = one_of(f"{own}: on_error", on_error, ON_ERROR)
        if not in_order:
            # PyTorch has had this argument since 2.6.
            others["in_order"] = False
        seed = None if seed is None else whole(f"{own}: seed", seed, 0, 2**64 - 1, other=", or None")
        if (rank, world_size) != (None, None):
            given = sampler if sampler is not None else batch_sampler
            ranks = shared(dataset, given, rank, world_size)
            order = {"shuffle": bool(shuffle), "seed": seed or 0, "drop_last": drop_last}
            shuffle, sampler = None, RankSampler(Epochs(), dataset, *ranks, **order)
        elif seed is not None and rng != "sample":
            raise ValueError(
                f"{own}: seed={seed} is for rng='sample' and for ranks; what workers draw with rng='worker' follows "
                "from `generator`, or from torch.manual_seed"
            )
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
        self.seed = seed if rng == "sample" else None
        self._policy = Policy(rng, on_error, self.seed)
        self._epochs = self._found_epochs()
        self._running: weakref.WeakSet[Any] = weakref.WeakSet()
        if not self._policy.is_torchs and self._dataset_kind != DatasetKind.Map:
            raise ValueError("rng='sample' and on_error need a map-style dataset: samples of another one have no index")
        if on_error != "raise" and not self._auto_collation:
            raise ValueError(f"on_error={on_error!r} needs batches, and batch_size is None")
        self._note = Noted(on_error)
        self.bad_samples: dict[Any, str] = self._note.found
        """The indices of samples that were skipped or replaced, in the order in which they failed first, and why."""
        self._make_slots()

    def _found_epochs(self) -> Epochs:
        # A framework builds a loader anew with the sampler of another one.
        for each in (self.sampler, self.batch_sampler, getattr(self.batch_sampler, "sampler", None)):
            if isinstance(each, RankSampler):
                return each.epochs
        return Epochs()

    def set_epoch(self, epoch: int) -> None:
        """Makes the next iteration begin with this epoch, on which the order of ranks and ``rng="sample"`` depend.

        Without it each iteration begins the epoch after the last one. ``set_epoch`` of the sampler, and of the batch
        sampler, is called too, where they have one.

        Args:
            epoch: 0 to 2**63 - 2.

        Raises:
            ValueError: It is out of range.
            TypeError: It is no integer.
        """
        epoch = whole(f"{type(self).__name__}: epoch", epoch, 0, 2**63 - 2)
        for each in (self.sampler, self.batch_sampler):
            if callable(tell := getattr(each, "set_epoch", None)) and not isinstance(each, RankSampler):
                tell(epoch)
        self._epochs.next = epoch

    def set_num_workers(self, num_workers: int) -> None:
        """Changes the number of workers, also while an iterator of this loader runs: nothing that comes changes.

        One that is added begins with what the first ones began with. One that goes does what it has to do before, and
        gives its seat back then. So many batches as `prefetch_factor` says are made ahead for each that there is. Call
        it from the thread that iterates.

        Args:
            num_workers: 1 or more.

        Raises:
            ValueError: There would be no worker, or there is none; or what comes could change: with ``rng="worker"``,
                ``in_order=False``, an iterable dataset, or one with a state in each worker. Or
                ``on_worker_death="raise"`` keeps nothing that a worker could begin with.
            TypeError: It is no integer.
            RuntimeError: No further worker can be started.
        """
        count = integer(f"{type(self).__name__}: num_workers", num_workers)
        if count < 1 or self.num_workers == 0:
            raise ValueError(
                f"num_workers can become {count} from {self.num_workers} in a new loader only: set_num_workers needs "
                "workers, before and after"
            )
        why = self._why_fixed()
        if why is not None:
            raise ValueError(f"the number of workers cannot change while an iterator runs: {why}")
        for iterator in tuple(self._running):
            iterator.resize(count)
        self.num_workers = count

    def _why_fixed(self) -> str | None:
        """Says why the number of workers is not to change."""
        if self._dataset_kind != DatasetKind.Map:
            return "each worker of an iterable dataset has a part of it that no other one has"
        if self.rng == "worker":
            return (
                "with rng='worker', what a sample draws depends on its worker's seed, and which worker has a batch on "
                "how many there are; rng='sample' depends on neither"
            )
        if not self.in_order:
            return "with in_order=False PyTorch shares the batches out by how many workers there are"
        if self.on_worker_death == "raise":
            return "with on_worker_death='raise' nothing is kept that another worker could begin with"
        return None

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
            iterator._epoch = self._epochs.current
            keyed = iterator._base_seed, iterator._epoch
            iterator._dataset_fetcher = Inline(self._note, self._policy, *keyed, *arguments)
        return iterator

    def _must_do_without_parts(self) -> None:
        """Raises `RuntimeError` for what needs inner parts of PyTorch, whose own iterator is to be used."""
        if not self._policy.is_torchs or (self.persistent_workers and isinstance(self.sampler, RankSampler)):
            raise RuntimeError(
                "rng='sample', on_error, and ranks with persistent workers need a PyTorch whose inner parts are known"
            )

    def _get_iterator(self) -> Any:
        if not are_known("torch"):
            self._must_do_without_parts()
            self._epochs.begin()
            return super()._get_iterator()
        if self.num_workers == 0:
            self._epochs.begin()
            return self._as_asked(super()._get_iterator())
        from stokehold.torch.iterator import SlotIterator  # noqa: PLC0415 (it needs those parts)

        self.check_worker_number_rationality()
        self._own_slots()
        return self._begun(SlotIterator(self))

    def _begun(self, iterator: Any) -> Any:
        self._running.add(iterator)
        return iterator

    def __getstate__(self) -> dict[str, Any]:
        own = {"_slots", "_slots_of", "_iterator", "_running"}
        return {name: value for name, value in self.__dict__.items() if name not in own}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _iterator=None, _running=weakref.WeakSet())
        self._make_slots()
