"""What a loader's epochs had in them: who got what, and a batch again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from stokehold._native import Batch as NativeBatch
from stokehold._native import Loader as NativeLoader
from stokehold.arguments import counted
from stokehold.checks import shown, whole
from stokehold.drawn import Sample, told
from stokehold.epoch import Epoch
from stokehold.making import Making
from stokehold.orders.base import Order
from stokehold.ranks import Ranks
from stokehold.user.code import Rng

__all__ = ["Reviewable"]

ALONE: Final = Ranks(0, 1, "stokehold")
"""One trainer, of one sample."""


class Reviewable:
    """A loader whose epochs can be looked at, while it goes on as if nothing had been asked."""

    _native: NativeLoader
    _making: Making
    _ranks: Ranks
    _order: Order | None
    _rng: Rng
    _is_stream: bool

    @property
    def epoch(self) -> int:
        """The current epoch, or the next one if none is going on."""
        raise NotImplementedError

    def _settle(self) -> None:
        raise NotImplementedError

    def _given(self, native: NativeBatch) -> Any:  # noqa: ANN401 (a batch, a named tuple or a sample)
        raise NotImplementedError

    def _batches_of(self, epoch: int) -> int:
        raise NotImplementedError

    def _listed(self, native: NativeLoader, epoch: int) -> None:
        raise NotImplementedError

    def _one(self, native: NativeBatch) -> dict[str, Any]:
        raise NotImplementedError

    @contextmanager
    def _aside(self, making: Making | None = None) -> Iterator[NativeLoader]:
        """Gives a loader beside this one, which makes batches in this process: the same, or another for one rank."""
        native = making.loader(ALONE, alone=True) if making else self._making.loader(self._ranks, alone=True)
        try:
            native.set_grown(self._native.grown)
            yield native
        finally:
            native.close()

    def audit(self, epoch: int | None = None) -> dict[str, Any]:
        """Proves that the ranks share out an epoch: each sample counts once, and is given to the rank whose turn it is.

        With an `order`, it is each position of that which counts once.

        Nothing is read: it goes over the order of all ranks. Each trainer of a run has the same answer, so that one can
        compare with it what the others say they got.

        Args:
            epoch: The epoch's number; the current one by default.

        Returns:
            ``epoch``; ``samples``: of the source, in that epoch; ``positions``: of the epoch's order, which has one for
            each sample where no `order` says otherwise; ``left_out``: those that no rank gets, because they cannot be
            shared out evenly or fill no batch; ``ranks``: of each, its ``batches``, its ``rows``, the ``padding`` among
            them, rows whose samples come again to even the ranks out, and a ``digest`` of its indices, which is
            ``xxhash.xxh3_64_intdigest`` of the bytes of all its ``batch.indices``.

        Raises:
            TypeError: `epoch` is no number; or the dataset is iterable, and nobody knows its samples.
            RuntimeError: A sample is missing, counts twice, or is another rank's: the message names the first ones.
        """
        epoch = self.epoch if epoch is None else counted("epoch", epoch, of="Loader.audit")
        self._settle()
        indices = None if self._order is None else self._order.listed(epoch)
        if indices is None:
            return _audited(self._native, epoch)
        # The epoch that is going on keeps its own.
        with self._aside() as native:
            native.give(epoch, indices)
            return _audited(native, epoch)

    def replay(self, epoch: int, batch: int) -> Any:  # noqa: ANN401 (a batch, a named tuple or a sample)
        """Makes a batch again, in this process, with the bytes that it had: to look at what was in it when a loss rose.

        The loader goes on as if nothing had been asked, and may be closed. A dataset of Python, and functions, are
        called here as with ``num_workers=0``; the bytes are those of then if what they give depends on the index and
        on the generators that are seeded for each sample alone.

        Args:
            epoch: The epoch's number.
            batch: Which batch of this rank, from 0 on, counted from the beginning of the whole epoch, also if it was
                resumed in its middle, and with this loader's batch size and world size; of an epoch that was resumed
                with another `cut`, from there.

        Raises:
            TypeError: A number is none; or the dataset is iterable, and has no batch without those before it.
            ValueError: There is no such batch; or ``rng="worker"``, with which bytes depend on the workers.
        """
        self._check_again("replay")
        epoch = counted("epoch", epoch, of="Loader.replay")
        batch = counted("batch", batch, of="Loader.replay")
        self._settle()
        batches = self._batches_of(epoch)
        if batch >= batches:
            raise ValueError(f"Loader.replay: batch must be below {batches}, the batches of epoch {epoch}, not {batch}")
        before = batch * self._making.groups * self._ranks.world_size
        with self._aside() as native:
            native.go_to(epoch, before, self._native.earlier(epoch))
            return next(Epoch(native, self._given, self._listed, is_endless=False))

    def sample(
        self, index: int, epoch: int | None = None, position: int | None = None, variant: int | None = None
    ) -> Sample:
        """Makes one sample alone, in this process, with the bytes of its row: to look at what transforms make of it.

        ``loader.sample(index).drawn`` is what was drawn for it: which crop, whether it was flipped, by which angle it
        was rotated.

        The loader goes on as if nothing had been asked, and may be closed; what is said of `replay` holds here too. A
        bad sample raises its error, whatever `on_error` says. Transforms of whole batches are left out, since they need
        the other samples: the row is as they get it, and a label is a number, also where `MixUp` makes it one-hot.

        Args:
            index: The sample's index in the source.
            epoch: The epoch whose random choices are wanted; the current one by default.
            position: Where in the epoch's order of all ranks the sample stands, from 0 on; row ``r`` of batch ``b`` is
                at ``(b * batch_size + r) * world_size + rank``, where there is no `cut`. It is needed where the order
                may give a sample more than once, each time with other random choices. With any other order these do
                not depend on it, and the epoch need not have the sample.
            variant: Whose transforms are wanted, where a `MultiScale` says how samples become batches: `Batch.variant`.
                None where batches have no variants.

        Returns:
            The sample's fields by name, without an axis of rows, as with ``batch_size=None``; and `Sample.drawn`, what
            was drawn for each field, as ``{"image": [Drawn("RandomHorizontalFlip", {"applied": True})]}``.

        Raises:
            TypeError: A number is none; or the dataset is iterable, and nobody knows its samples.
            ValueError: There is no such sample, position or variant, another sample stands there, or none is given
                where one is needed; or ``rng="worker"``, with which bytes depend on the workers.
        """
        self._check_again("sample")
        index = whole("Loader.sample: index", index, 0, self._native.samples - 1)
        epoch = self.epoch if epoch is None else counted("epoch", epoch, of="Loader.sample")
        if position is None and self._native.repeats:
            raise ValueError(
                "Loader.sample: position must be a number, not None, as the order may give a sample more than once: "
                f"{self._order!r}"
            )
        variants = self._making.variants
        if variants:
            variant = whole("Loader.sample: variant", variant, 0, variants - 1)
        elif variant is not None:
            raise ValueError(f"Loader.sample: variant must be None, not {shown(variant)}, as batches have no variants")
        if position is None:
            making, listed = self._making.of_one(index, variant), _nothing
        else:
            positions = self._native.counts_of(epoch)[1]
            position = whole("Loader.sample: position", position, 0, positions - 1, other=", or None")
            making, listed = self._making.of_one(None, variant), self._listed
        with self._aside(making) as native:
            native.go_to(epoch, position or 0)
            listed(native, epoch)
            batch, drawn = native.next_with_drawn(native.begin())
            if batch is None or batch.indices[0] != index:
                found = None if batch is None else batch.indices[0]
                raise ValueError(
                    f"Loader.sample: position {position} of epoch {epoch} is that of sample {found}, and index is "
                    f"{index}"
                )
            return Sample(self._one(batch), told(drawn))

    def _check_again(self, what: str) -> None:
        """Raises an error where nothing can be made again."""
        if self._is_stream:
            raise TypeError(
                f"Loader: {what} needs a dataset with __getitem__; one that is iterated begins at its start"
            )
        if self._rng == "worker":
            raise ValueError(
                f"Loader: {what} needs rng='sample'; with 'worker', bytes depend on what a worker did before"
            )


def _nothing(native: NativeLoader, epoch: int) -> None:
    """Gives no indices: the order has the same ones in each epoch."""


def _audited(native: NativeLoader, epoch: int) -> dict[str, Any]:
    """Returns what each rank gets of an epoch, or raises an error where the ranks do not share it out."""
    found = native.audit(epoch)
    if found is None:
        raise TypeError(
            "Loader: audit needs a dataset with __getitem__; nobody knows the samples of one that is iterated"
        )
    ranks, left_out, count, faults = found
    if count:
        raise RuntimeError(f"Loader.audit: epoch {epoch} has {count} faults: {'; '.join(faults)}")
    names = ("batches", "rows", "padding", "digest")
    shares = [dict(zip(names, rank, strict=True)) for rank in ranks]
    samples, positions = native.counts_of(epoch)
    return {
        "epoch": epoch,
        "samples": samples,
        "positions": positions,
        "left_out": left_out,
        "ranks": shares,
    }
