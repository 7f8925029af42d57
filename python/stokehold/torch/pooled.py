"""A `stokehold.Loader` where a framework asks for a ``torch.utils.data.DataLoader``.

Frameworks take a loader apart and build another one of its dataset and its batch sampler, which they cut among ranks,
wind forward and tell epochs. So the dataset here is the batches themselves, by number, and the batch sampler lists
those of all ranks in turn: a rank that takes its part of them gets the batches that the loader makes for it.
"""

from __future__ import annotations

import itertools
import logging
import math
from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple

from torch.utils.data import BatchSampler, Dataset, SequentialSampler
from torch.utils.data import DataLoader as TorchDataLoader
from torch.utils.data import DistributedSampler as TorchDistributedSampler

import stokehold as sh

__all__ = ["Batches", "PoolLoader"]

LOG: Final = logging.getLogger("stokehold")


class Ticket(NamedTuple):
    """One batch of an epoch, as the batch sampler names it; none (-1) where it is another rank's."""

    epoch: int
    number: int


class Batches(Dataset[Any]):
    """The batches that a loader makes for this rank, by ticket."""

    def __init__(self, loader: sh.Loader, given: Callable[[Any], Any] = lambda batch: batch) -> None:
        self.loader = loader
        self._given = given
        """What the loader's batches are made to."""
        self._iterator: Iterator[Any] = iter(())
        self._ahead = Ticket(-1, -1)
        """The batch that the iterator gives next."""
        self._loads = 0
        """How many states had been loaded when an epoch was told last."""
        self._told = self._offset = 0
        self._has_warned = False

    def __len__(self) -> int:
        """Returns the number of samples, over all ranks."""
        return self.loader.samples

    @property
    def rows(self) -> int:
        """Rows of a batch."""
        return self.loader.batch_size or 1

    @property
    def total_dataset_length(self) -> int:
        """The number of rows after which Accelerate's `gather_for_metrics` cuts off what evens out the ranks.

        It takes that to be the end of the last ranks' rows. Where it is the end of several ranks', nothing may be cut.
        """
        ranks, samples = self.loader.ranks.world_size, len(self)
        is_padded = self.loader._even == "pad" and not self.loader.drop_last
        lacking = -samples % ranks if is_padded else 0
        if lacking <= 1:
            return samples
        if not self._has_warned:
            self._has_warned = True
            LOG.warning(
                "%d samples come again at the end of each epoch, to even out %d ranks; gather_for_metrics cannot leave "
                "them out: gather the valid_field too, or make the loader with even='drop'",
                lacking,
                ranks,
            )
        return samples + lacking

    def set_epoch(self, epoch: int) -> None:
        """Makes the next iteration begin with this epoch, by the numbers of whoever tells it.

        Some count from where they began, and others from the beginning: the epoch that is told first after a state was
        loaded is that of the state.
        """
        if self._loads != self.loader._loads:
            self._loads, loaded = self.loader._loads, self.loader.epoch
            goes_on = epoch == loaded or (epoch == loaded + 1 and not self._is_left())
            self._offset = 0 if goes_on else loaded - epoch
        self._told = epoch
        self.loader.set_epoch(epoch + self._offset)

    def _is_left(self) -> bool:
        return self.loader._is_stream or self.loader.remaining > 0

    def state_dict(self) -> dict[str, int]:
        """Returns the epoch. What was read of it, a loader that has a state notes itself, as tickets."""
        return {"epoch": self.loader.epoch}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Goes on with that epoch, which has just been told by another number."""
        self._offset = state["epoch"] - self._told
        self.loader.set_epoch(state["epoch"])

    def begin(self) -> Iterator[Any]:
        """Begins the epoch that was told, else the one that follows."""
        return iter(self.loader)

    def tickets(self) -> Iterator[list[Ticket]]:
        """Yields a list for each batch of each rank, as many times its ticket as it has rows when it is full."""
        self._iterator = self.begin()
        epoch, ranks = self.loader.epoch, self.loader.ranks
        others = [Ticket(epoch, -1)] * self.rows
        numbers: Iterator[int] = itertools.count()
        last = -1
        if not self.loader._is_stream:
            last = len(self.loader)
            numbers = iter(range(last - self.loader.remaining, last))
        self._ahead = Ticket(epoch, last - self.loader.remaining if last >= 0 else 0)
        for number in numbers:
            own = [Ticket(epoch, number)] * self.rows
            yield from (own if rank == ranks.rank else others for rank in range(ranks.world_size))
        if self._ahead == (epoch, last):
            # So that it is over for the loader too.
            next(self._iterator, None)

    def __getitems__(self, tickets: list[Ticket]) -> Any:
        """Returns a batch.

        Raises:
            RuntimeError: It is another rank's, or a part of one.
        """
        ticket = tickets[0]
        if len(tickets) != self.rows:
            raise RuntimeError(
                f"{len(tickets)} of {self.rows} rows of a batch are asked for, and this loader makes whole batches of "
                f"{self._part}: leave split_batches out, and give the loader the batch_size of one rank"
            )
        if ticket.number < 0:
            raise RuntimeError(
                f"a batch is asked for that is another rank's, and this loader makes those of {self._part}: leave "
                "dispatch_batches out, and give Accelerate the loader before batches are skipped; or make the loader "
                "with rank=0, world_size=1 for a process that reads for all"
            )
        if ticket != self._ahead:
            self._go_to(ticket)
        self._ahead = Ticket(ticket.epoch, ticket.number + 1)
        return self._given(next(self._iterator))

    @property
    def _part(self) -> str:
        ranks = self.loader.ranks
        return f"rank {ranks.rank} of {ranks.world_size} ({ranks.by})"

    def _go_to(self, ticket: Ticket) -> None:
        """Begins with this batch of an epoch, without reading those before."""
        if self.loader._is_stream:
            raise RuntimeError(
                f"batch {ticket.number} is asked for, and batch {self._ahead.number} comes next: those of an iterable "
                "dataset cannot be skipped"
            )
        cursor = ticket.number * self.rows * self.loader.ranks.world_size
        place = {"epoch": ticket.epoch, "cursor": min(cursor, self.loader.samples)}
        self.loader.load_state_dict(self.loader.state_dict() | place)
        self._loads = self.loader._loads
        self._iterator = self.begin()

    def whole(self) -> Iterator[Any]:
        """Begins an epoch for one who takes its batches as they come."""
        return _Given(self.begin(), self._given)


class _Given:
    """The batches of an epoch, as somebody wants them."""

    def __init__(self, batches: Any, given: Callable[[Any], Any]) -> None:
        self._batches = batches
        self._given = given

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        return self._given(next(self._batches))

    def __len__(self) -> int:
        return len(self._batches)


class RanksSampler(TorchDistributedSampler[Any]):
    """Stands for the order of a loader, which is its own: tells frameworks that it is shared among ranks already."""

    def __init__(self, batches: Batches) -> None:
        # PyTorch's would ask for the ranks, which may not be known yet.
        self.dataset = self.data_source = batches

    @property
    def num_replicas(self) -> int:
        """The number of ranks."""
        return self.dataset.loader.ranks.world_size

    @property
    def rank(self) -> int:
        """This rank's number."""
        return self.dataset.loader.ranks.rank

    def __len__(self) -> int:
        """Returns the most samples that this rank gets in an epoch."""
        return math.ceil(len(self.dataset) / self.num_replicas)

    def __iter__(self) -> Iterator[Any]:
        raise TypeError(
            "a stokehold.Loader draws its samples itself: there are no indices that a sampler of another one could take"
        )

    def set_epoch(self, epoch: int) -> None:
        """Tells the loader which epoch is to be read."""
        self.dataset.set_epoch(epoch)


class OrderSampler(RanksSampler, SequentialSampler):
    """The same where the order is the source's in each epoch."""


class TicketSampler(BatchSampler):
    """The batches of all ranks in turn, by ticket."""

    def __init__(self, sampler: Any, batch_size: int, drop_last: bool) -> None:
        self.sampler = sampler
        self.batch_size = batch_size
        self.drop_last = drop_last

    @property
    def batches(self) -> Batches:
        """What the tickets are for."""
        batches: Batches = self.sampler.data_source
        return batches

    def __iter__(self) -> Iterator[list[Ticket]]:
        return self.batches.tickets()

    def __len__(self) -> int:
        """Returns the number of batches of all ranks."""
        loader = self.batches.loader
        return len(loader) * loader.ranks.world_size

    def set_epoch(self, epoch: int) -> None:
        """Tells the loader which epoch is to be read."""
        self.batches.set_epoch(epoch)


def _as_it_is(batch: Any) -> Any:
    return batch


class PoolLoader(TorchDataLoader[Any]):
    """A ``torch.utils.data.DataLoader`` whose batches a `stokehold.Loader` makes; `adopt` makes one.

    It iterates as that loader does. What frameworks build of it has its batches, each rank those of that rank: a
    sampler of ranks is there already, tickets of batches are cut as indices would be, and batches that are skipped are
    not read. Fixed are ``num_workers=0`` and a ``collate_fn`` that changes nothing, as the work is done in the loader's
    own workers.

    Args:
        dataset: The batches.
        batch_size: Not looked at, as all that is not named here: frameworks give it when they make the loader anew.
        shuffle: Not looked at.
        sampler: One that is not the loader's own makes each iteration the same epoch, so that batches come again, as
            Lightning's `overfit_batches` wants it.
        batch_sampler: The same with the batch sampler around it.
        **others: Not looked at.

    Raises:
        TypeError: The dataset is none of a loader's batches.
    """

    dataset: Batches

    def __init__(
        self,
        dataset: Batches,
        batch_size: int | None = 1,
        shuffle: bool | None = None,
        sampler: Any = None,
        batch_sampler: Any = None,
        **others: Any,
    ) -> None:
        del batch_size, shuffle, others
        if not isinstance(dataset, Batches):
            raise TypeError(f"PoolLoader: dataset must be the batches of a stokehold.Loader, not {dataset!r}")
        loader = dataset.loader
        if batch_sampler is None:
            own = RanksSampler(dataset) if loader._shuffles else OrderSampler(dataset)
            batch_sampler = TicketSampler(own if sampler is None else sampler, dataset.rows, loader.drop_last)
        super().__init__(dataset, batch_sampler=batch_sampler, collate_fn=_as_it_is)
        # PyTorch says nothing of these beside a batch sampler, and others look for them.
        self.__dict__.update(batch_size=dataset.rows, drop_last=loader.drop_last, sampler=batch_sampler.sampler)
        self._only = None if isinstance(self.sampler, RanksSampler) else loader.epoch

    @property
    def loader(self) -> sh.Loader:
        """The loader."""
        return self.dataset.loader

    def __iter__(self) -> Any:
        if self._only is not None:
            self.loader.set_epoch(self._only)
        return self.dataset.whole()

    def __len__(self) -> int:
        """Returns the number of batches that this rank gets in a whole epoch."""
        return len(self.loader)

    def set_epoch(self, epoch: int) -> None:
        """Makes the next iteration begin with this epoch."""
        self.loader.set_epoch(epoch)

    def state_dict(self) -> dict[str, Any]:
        """Returns where the loader is."""
        return self.loader.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Goes on from there."""
        self.loader.load_state_dict(state_dict)
