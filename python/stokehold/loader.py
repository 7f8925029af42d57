"""The loader."""

from __future__ import annotations

import itertools
import json
import sys
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Literal, NamedTuple, Self, get_args

from stokehold import _native
from stokehold.arguments import (
    BatchType,
    Even,
    OnError,
    Shuffle,
    by_field,
    check_callable,
    check_no_code,
    counted,
    cut_of,
    duration,
    field_names,
    groups_in,
    limits_of,
    ordered,
    output_of,
    shuffled,
    state_text,
    streams,
)
from stokehold.batch import Batch, SlotFields
from stokehold.checks import as_integer, one_of, text, truth
from stokehold.coordinator import FROZEN
from stokehold.cut import Cut
from stokehold.epoch import NOBODY_KNOWS, Epoch, places_of, tuple_of
from stokehold.hints import LOADER, hinted
from stokehold.making import Making
from stokehold.mix import BatchTransform
from stokehold.orders.base import Order
from stokehold.outputs import Output
from stokehold.ranks import Ranks, local_world_size
from stokehold.recipe import Transforms, batch_chain, chains, draws_of, mapped, stages, views_of
from stokehold.review import Reviewable
from stokehold.sizes import byte_count
from stokehold.sources import Source
from stokehold.told import Tellable
from stokehold.transforms import Map
from stokehold.user.code import Code, Rng, Start
from stokehold.user.functions import Function

__all__ = ["FieldSpec", "Loader", "freeze_support"]


def freeze_support() -> None:
    """Makes this process a coordinator if it was started to be one; else returns at once.

    A loader with workers starts ``sys.executable`` as their coordinator. In a frozen program (PyInstaller, Nuitka), or
    one that Python is embedded in, that is the program itself: it then calls this first, before it starts threads and
    does anything that must not be done twice. Anywhere else the call does nothing.
    """
    _native.init()


class FieldSpec(NamedTuple):
    """One field of a sample; a batch adds the row axis in front."""

    dtype: str
    """The dtype's name, as NumPy has it."""
    shape: tuple[int | None, ...]
    """The shape of one sample; None for an axis that varies: from sample to sample, which makes the field ragged, or
    from batch to batch, with a `MultiScale`."""
    capacity: int | None = None
    """Of a ragged field, what a row has room for along its varying axes: entries of a list, pixels of an image,
    values of one whose channels vary too."""


def ragged_of(spec: Mapping[str, FieldSpec], cut: Cut | None) -> frozenset[str]:
    """Returns the fields each row of which is an array of its own."""
    dense = () if cut is None or cut.padding else cut.made
    return frozenset(dense).union(name for name, field in spec.items() if field.capacity is not None)


class Loader(Tellable, Reviewable):
    """Feeds a training loop with batches that worker processes make.

    Each iteration is one epoch. What a batch holds depends on ``seed``, the epoch and the samples' indices alone (and
    on its place in the epoch, with `batch_transforms`), never on the number of workers, on workers that were killed,
    or on where an epoch was resumed. Arguments that
    torch's ``DataLoader`` has are spelled as there.

    What coordinator and workers report, such as a worker that stalls, goes to the logger ``stokehold`` as a warning
    while you wait for a batch, ask for `stats` or `close`. Where logging is not configured, it is printed to standard
    error, unless that would have to wait: a pipe that nobody reads stops nothing.

    Args:
        source: Where samples come from: a `Source`, such as an `ImageFolder`, `Arrays`, `Npy`, a `Table`, `WebDataset`,
            `TFRecord`, `Csv`, `JsonLines`, `Parquet`, `Arrow`, `HuggingFace` or `CocoDetection`, and what `select`,
            `concat` and the like make of them; or any dataset of Python with ``__getitem__`` (or ``__getitems__``) and
            ``__len__``: PyTorch's, a list, a class of yours. A dataset goes to the workers as a pickle, by cloudpickle;
            what its samples consist of becomes the fields, which are learned from some samples that a child process
            makes when the loader is made. Or an iterable dataset, with ``__iter__`` alone: each worker iterates over
            its own copy and makes whole batches, which come in turn; it asks `get_worker_info` for its share. What is
            promised then is less: see docs/python.md.
        batch_size: Rows of a batch; None gives single samples: dictionaries of arrays without an axis of rows.
        shuffle: Whether each epoch has its own random order; else the order is the source's. ``"blocks"`` is for
            sources that are read in blocks, such as the row groups of `Parquet`: a random order of the blocks, and of
            the samples of a few blocks at a time, as many as the source's cache has room for. A `state_dict` belongs to
            the blocks and to their number.
        order: Another order than those of `shuffle`, which then stays False: `Weighted` draws, a `Curriculum`,
            `Repeated` samples, the indices of an `Explicit` array or sampler, or a `Mixture` of the sources of a
            `concat`; see docs/orders.md. An epoch has as many samples as the order says. Where it may give a sample
            more than once, transforms draw by the sample's place in the epoch's order as well, so that no two are equal
            copies. A `state_dict` belongs to the order.
        cut: How samples become batches, where these are not ``batch_size`` samples each. By their lengths, `Packing`
            puts several into each row, of which a batch then has ``batch_size``; `TokenBudget` makes batches of so many
            values, `Buckets` of samples of like lengths, and ``batch_size`` is left out. Samples are written to their
            spans in the batch. A `MultiScale` gives each batch one of several lists of transforms, such as images of
            other sizes. See docs/batches.md. An epoch's number of batches may differ from that of another one. A
            `state_dict` belongs to the lengths; with another cut, the rest of its epoch is planned anew. None makes
            batches of ``batch_size`` samples.
        seed: The seed of every random choice, 0 to 2**64 - 1.
        drop_last: Whether samples that do not fill a batch on every rank are left out. If not, the last batch may be
            smaller.
        transforms: For each field that is to be changed, its transforms in order; a function of your own may stand
            among them, see `Call`. What follows an image (masks, boxes, keypoints of a `Table`) takes the image's
            geometry by itself. An array that seems to belong to an image (by its name, or because it has a value for
            each pixel) and is to stay as it is needs an empty list. A `View` makes a further field of another one, with
            draws of its own. Or a list: such transforms of fields, then one
            `Map` or several, which get whole samples, then transforms of the fields that those give.
        draws: For fields that are to draw as another one does, that field. By default each field draws by itself, so
            that two views of a sample differ, and what follows an image draws as the image. With
            ``draws={"depth": "image"}``, transforms of ``depth`` choose what those of the same name choose for
            ``image``: the first `RandomCrop` as the first `RandomCrop` there, and so on. Whatever stands between them,
            draws stay the same: they are keyed by seed, epoch, index, field, the transform's name, and how many of that
            name stand before it.
        batch_transforms: Transforms of whole batches, in order, after all others: `MixUp`, `CutMix`, `RandomChoice`,
            and functions of your own, which get a dict of the batch's arrays and change them in place. An array that
            such a function keeps is an error, as its memory is yours from then on. Rows that even out the ranks, or
            stand in for bad samples, are mixed as others: a valid row may have a part of one of them.
        capacity: For each ragged field, what a row of a slot has room for: entries of a list, pixels (height times
            width) of an image whose transforms fix no size, values of one whose channels vary too. A list has room for
            the source's longest one by default. A sample that needs more is a bad one, and goes by `on_error`. Fields
            of a dataset have room for half as many again as the longest sample that was tried needs, and get more when
            one comes that is longer; with a capacity they do not, and their first axis varies in any case.
        num_workers: Worker processes, at most 1024; 0 does the work in this process when a batch is asked for;
            ``"auto"`` takes the processors that affinity and cgroup allow, shared among the ranks of this machine
            (``LOCAL_WORLD_SIZE``).
        threads_per_worker: Decoding threads of each worker, at most 256, and at most 4096 of all workers together.
            Must be 1 where functions of yours are called: the threads of one interpreter would wait for each other, and
            draw from each other's random numbers.
        prefetch: Batches that may be finished ahead of the one in your hands, in total (not per worker).
        memory_limit: How large the arena, and so everything that is buffered, may become: bytes, or text such as
            ``"512MiB"``. It begins with ``prefetch`` + 2 slots and grows when you hold batches.
        max_sample_bytes: The most memory that a sample may take while it is made, bytes or text such as ``"256MiB"``:
            its files, what decoding and transforming it allocates, and its pixels. A sample that needs more is a bad
            one, which is told from its files' sizes and headers, and goes by `on_error`. None is 1 GiB: a large
            photograph of 100 megapixels takes about that. Where samples are files, there must be memory for one
            such sample beside the slots when the loader is made, or, if you give a number, for one in each thread
            that decodes.
        rank: This trainer's number, of several that share the samples; or PyTorch's process group of those that do, or
            a `DeviceMesh` of one axis, such as ``mesh["dp"]``. If neither this nor `world_size` is given, it is found
            when the loader is first asked for its length, its state or an epoch: from PyTorch's process group or JAX's
            distributed runtime, where one runs by then, or from the variables of torchrun, SLURM (in a step), Open MPI
            or PMI. Without any of these there is one trainer. What was taken is in ``stats()["ranks"]``.
        world_size: The number of trainers.
        even: What becomes of the samples at an epoch's end that cannot be shared out evenly among several ranks, fewer
            than there are ranks. With ``"pad"``, the first samples of the order come again on the ranks that would get
            fewer, as with PyTorch's ``DistributedSampler``; `Batch.valid` is False for them. With ``"drop"``, they are
            left out. With ``"uneven"``, each rank gets its own share and nothing comes again: some ranks get a row
            more than others and so, perhaps, a batch more, as ``len(loader)`` and ``stats()["even"]`` say; what waits
            for all ranks in each batch, as training with gradients of all ranks does, then waits for ever. With
            `drop_last` nothing comes again anyway, and with both `drop_last` and ``"uneven"`` each rank leaves out what
            does not fill its own last batch. An iterable dataset gives each rank what it gives it, which is never
            evened out, and refuses ``"drop"``.
        output: What fields of a batch are: ``"numpy"``, ``"torch"`` or ``"jax"`` arrays, all without a copy.
        batch_type: What a batch is: ``"dict"``, a `Batch`, which is a mapping by field name; or ``"tuple"``, a named
            tuple of the arrays in the order of the fields, for ``for images, labels in loader``. Of a tuple, names that
            are no identifiers of Python become ``_0``, ``_1`` and so on.
        valid_field: The name of one more field, ``bool`` of one value a row, for `Batch.valid` as an array of the
            ``output``: for tuples and single samples, and for what moves, gathers or cuts arrays. It stands behind all
            others. None is no such field.
        on_error: What becomes of a sample that cannot be read or decoded: ``"raise"`` fails its batch, and iteration
            can go on with the next one; ``"skip"`` puts the next sample of the epoch's order into its row, which so
            comes twice; ``"replace"`` one that is drawn from the whole source. Batches stay full and deterministic;
            `Batch.valid` is False for such rows, and `Batch.indices` has what is in them.
            Of an iterable dataset, ``"skip"`` leaves the sample out, so that its batch is shorter; with a `cut` by
            lengths, the sample's span is padding, its other fields are zero or empty, and its index is -1. Neither has
            ``"replace"``.
        stall_timeout: Seconds that a worker may go without finishing a sample before it is reported, killed and
            replaced; and that the coordinator may go without an answer before it is killed and ``WorkerError`` raised.
        worker_batches: After about so many batches' worth of samples, a worker ends between two runs of rows, and
            another one takes its seat; nothing is lost. None is never.
        worker_memory_limit: The same where a worker has so much memory of its own (what it shares does not count):
            bytes or text such as ``"2GiB"``. For code that leaks.
        fields: For datasets: the names of a sample's items, where the sample is a tuple, a list or a single value. By
            default ``"0"``, ``"1"`` and so on; dictionaries, named tuples and dataclasses name their items themselves.
        rng: For datasets and functions: whose random numbers a sample draws from `random`, NumPy's global functions and
            PyTorch. ``"sample"`` seeds them from ``seed``, the epoch and the index before each sample, so that bytes
            depend on nothing else; ``"worker"`` seeds them once in each worker, as PyTorch does, which is quicker, and
            then bytes depend on who makes a sample. With ``num_workers=0``, the trainer's own numbers go on as if there
            were no loader, with ``"sample"``.
        start: For datasets and functions: ``"forkserver"`` forks the workers from a process that was started clean and
            has unpickled the dataset; ``"fork"`` forks the trainer as it is, which pickles nothing and imports nothing
            again, and inherits every lock that a thread of the trainer holds at that moment; ``"spawn"`` forks none:
            each worker is an interpreter of its own, which imports and unpickles by itself. Where the dataset starts
            threads while it is unpickled, ``"forkserver"`` does the same, and says so.
        worker_init: For datasets and functions: called in each worker with its number before its first sample, also in
            one that replaces another, and with 0 in the process that tries samples. The spot to open files again that
            must not be shared.

    Raises:
        ValueError: An argument cannot work, or a transform cannot take its field; or an iterable dataset gives several
            workers the same samples.
        ImportError: `output` is of a library that is not installed.
        TypeError: The source is none, or a part of a dataset cannot be pickled, which is named by its path; or samples
            of a dataset differ in what they consist of.
        RuntimeError: There are to be workers, and ``sys.executable`` is empty.
        WorkerError: There are to be workers, and ``sys.executable`` is no interpreter; see `freeze_support`.
        OSError: The source cannot be opened (``FileNotFoundError`` and so on), or a process cannot be started.
        MemoryError: The arena does not fit under ``memory_limit``, or the arena and samples of ``max_sample_bytes`` do
            not fit under a cgroup's limit or the machine's free memory.
    """

    batch_size: int | None
    """Rows of a batch, on each rank; None where samples come one by one."""
    drop_last: bool
    """Whether samples that do not fill a batch are left out."""
    _begun: weakref.ref[Epoch] | None = None
    """The iterator that was made last."""
    _loads: int = 0
    """How many states have been loaded."""

    @hinted(LOADER, "Loader", "source")
    def __init__(
        self,
        source: Any,  # noqa: ANN401 (a Source, or any dataset)
        *,
        batch_size: int | None = 1,
        shuffle: Shuffle = False,
        order: Order | None = None,
        cut: Cut | None = None,
        seed: int = 0,
        drop_last: bool = False,
        transforms: Transforms | Sequence[Transforms | Map] | None = None,
        batch_transforms: Sequence[BatchTransform | Callable[..., Any]] = (),
        draws: Mapping[str, str] | None = None,
        capacity: Mapping[str, int] | None = None,
        num_workers: int | Literal["auto"] = "auto",
        threads_per_worker: int = 1,
        prefetch: int = 4,
        memory_limit: int | str = "2GiB",
        max_sample_bytes: int | str | None = None,
        rank: Any = None,  # noqa: ANN401 (an int, or PyTorch's types)
        world_size: int | None = None,
        even: Even = "pad",
        output: Output = "numpy",
        batch_type: BatchType = "dict",
        valid_field: str | None = None,
        on_error: OnError = "raise",
        stall_timeout: float = 60.0,
        worker_batches: int | None = None,
        worker_memory_limit: int | str | None = None,
        fields: Sequence[str] | None = None,
        rng: Rng = "sample",
        start: Start = "forkserver",
        worker_init: Callable[[int], object] | None = None,
    ) -> None:
        is_code = not isinstance(source, Source)
        rng, start = one_of("Loader: rng", rng, get_args(Rng)), one_of("Loader: start", start, get_args(Start))
        even = one_of("Loader: even", even, get_args(Even))
        on_error = one_of("Loader: on_error", on_error, get_args(OnError))
        output, batch_type = output_of(output), one_of("Loader: batch_type", batch_type, get_args(BatchType))
        shuffle = shuffled(shuffle)
        is_stream = streams(source, fields, on_error, even, shuffle=shuffle)
        batch_size = None if batch_size is None else counted("batch_size", batch_size)
        is_auto = isinstance(num_workers, str) and num_workers == "auto"
        num_workers = _native.auto_workers(local_world_size()) if is_auto else counted("num_workers", num_workers)
        options: dict[str, Any] = {
            "batch_size": groups_in(cut, batch_size),
            "shuffle": shuffle,
            "seed": counted("seed", seed),
            "drop_last": truth("Loader: drop_last", drop_last),
            "even": even,
            "num_workers": num_workers,
            "threads_per_worker": counted("threads_per_worker", threads_per_worker),
            "spawns": start == "spawn",
            "on_error": on_error,
            "stall_timeout": duration("stall_timeout", stall_timeout),
        }
        options |= limits_of(max_sample_bytes, worker_memory_limit, worker_batches)
        if num_workers and not sys.executable:
            raise RuntimeError(FROZEN.format(sys.executable))
        names = field_names(fields)
        self._valid_field = None if valid_field is None else text("Loader: valid_field", valid_field, "a str, or None")
        rooms, drawn = by_field("capacity", capacity, "a mapping of fields to numbers"), draws_of(draws)
        check_callable("worker_init", worker_init)
        planned = cut_of(cut, source, batch_size, is_stream=is_stream)
        # The first axis of these varies, whatever samples are tried.
        rooms = planned[1] | rooms if planned is not None and is_code else rooms
        functions: list[Function] = []
        before, maps, chosen = stages(transforms)
        dataset = source if is_code else None
        if maps:
            dataset = mapped(source, maps, names, before=before, draws=drawn, options=options, rng=rng)
            drawn = {}
        description = {
            "recipe": {
                "transforms": chains(chosen, functions),
                "variants": cut.variants(functions) if cut else [],
                "views": views_of(chosen) + (cut.views() if cut else []),
                "batch_transforms": batch_chain(batch_transforms, functions),
                "capacity": {name: counted(f"capacity[{name!r}]", room) for name, room in rooms.items()},
                "draws": drawn,
            },
            "options": options,
            "prefetch": counted("prefetch", prefetch),
            "memory_limit": byte_count("Loader: memory_limit", memory_limit),
        }
        self.source = source
        self.output: Output = output
        code = None
        if dataset is not None or functions:
            own = None if maps else names
            room = frozenset(rooms)
            code = Code(dataset, own, room, rng, options["seed"], num_workers, worker_init, functions=functions)
        else:
            check_no_code(source, rng, start, worker_init)
        given = Ranks.given(rank, world_size)
        making = Making(
            description,
            None if dataset is not None else source.native,
            code,
            ordered(order, source, cut or (options["batch_size"], given), shuffle=shuffle, is_stream=is_stream),
            planned,
            is_stream=is_stream,
            forks=start == "fork",
        )
        self._ranks = given or Ranks.found(may_come=True)
        self._native = making.loader(self._ranks)
        self._making, self._is_settled, self._cut = making, given is not None, cut
        self._counters: Mapping[str, int] = {} if is_code else source.counters
        self._is_stream, self._shuffles = is_stream, bool(shuffle or order)
        self._is_mapped = bool(maps) and not is_code
        self._num_workers, self._rng, self._order = num_workers, rng, order
        self.batch_size, self.drop_last = batch_size, options["drop_last"]
        self._even: Even = even
        self._positions = places_of(self._native, self._valid_field)
        self._ragged = ragged_of(self.spec, cut)
        self._tuple: Any = tuple_of(self._positions) if batch_type == "tuple" else None

    @property
    def spec(self) -> dict[str, FieldSpec]:
        """The dtype and the shape of one row of each field, known before the first sample is read."""
        fields = {name: FieldSpec(dtype, tuple(shape), room) for name, dtype, shape, room in self._native.fields}
        if (cut := self._cut) is not None:
            for name in cut.made:
                fields[name] = FieldSpec(fields[name].dtype, (*cut.extents, *fields[name].shape[1:]))
        return fields if self._valid_field is None else {**fields, self._valid_field: FieldSpec("bool", ())}

    @property
    def classes(self) -> list[str]:
        """The names of the classes, in the order of their labels; empty where the source has none."""
        if self._is_mapped:
            # A function has the samples, whose classes are those of the source all the same.
            return getattr(self.source, "classes", [])
        return self._native.classes

    @property
    def samples(self) -> int:
        """The number of samples of the source, over all ranks; of an iterable dataset what its ``__len__`` says.

        An `order` may give more in an epoch, or fewer: ``audit()["positions"]``.

        Raises:
            TypeError: It has none.
        """
        if self._is_stream:
            return len(self.source)
        return self._native.samples

    @property
    def epoch(self) -> int:
        """The current epoch, or the next one if none is going on."""
        return self._native.epoch

    @property
    def ranks(self) -> Ranks:
        """This trainer's number, how many there are, and who says so; settled when it is first asked for.

        Raises:
            ValueError: A launcher has said one of the two alone, and there is no process group.
        """
        self._settle()
        return self._ranks

    def __len__(self) -> int:
        """Returns the number of batches that this rank gets in a whole epoch; with a `cut`, in the current or next one.

        With ``even="uneven"``, others may get one more, or one less. Of an iterable dataset it is what its ``__len__``
        comes to, as in PyTorch; workers whose shares do not fill their last batches make more.

        Raises:
            TypeError: The dataset is iterable and has no ``__len__``.
        """
        self._settle()
        return self._batches()

    def _batches(self) -> int:
        if self._is_stream:
            size = self.batch_size or 1
            return len(self.source) // size if self.drop_last else -(-len(self.source) // size)
        return self._batches_of(self._native.epoch)

    def _batches_of(self, epoch: int) -> int:
        """Returns how many batches this rank gets in an epoch."""
        if self._cut is not None:
            self._listed(self._native, epoch)
        return self._native.batches_of(epoch)

    def _settle(self) -> None:
        """Asks for the last time which of several trainers this is: a process group may have begun since."""
        if self._is_settled:
            return
        ranks = Ranks.found()
        if self._order is not None:
            self._order.check_batches(self.batch_size or 1, ranks.world_size)
        if ranks[:2] != self._ranks[:2]:
            epoch = self._native.epoch
            self._native.close()
            self._native = self._making.loader(ranks)
            self._native.set_epoch(epoch)
        self._ranks, self._is_settled = ranks, True

    def __iter__(self) -> Iterator[Any]:
        """Begins the next epoch: the one that was set or loaded, else the one after the last that gave a batch.

        An iteration of this loader that was still going on ends; its iterator raises ``RuntimeError``.
        """
        self._settle()
        epoch = Epoch(self._native, self._given, self._listed, is_endless=self._is_stream)
        self._begun = weakref.ref(epoch)
        return epoch

    def _listed(self, native: _native.Loader, epoch: int) -> None:
        """Gives the indices of an epoch, where the order has others in each."""
        indices = None if self._order is None else self._order.listed(epoch)
        if indices is not None:
            native.give(epoch, indices)

    def _given(self, native: _native.Batch) -> Any:  # noqa: ANN401 (a batch, a named tuple or a sample)
        """Returns a batch as it was asked for."""
        if self.batch_size is None:
            sample = self._one(native)
            return sample if self._tuple is None else self._tuple(*sample.values())
        fields = SlotFields(native, self._positions, self._ragged, self.output)
        return Batch(fields) if self._tuple is None else self._tuple(*fields.values())

    def _one(self, native: _native.Batch) -> dict[str, Any]:
        """Returns the only sample of a batch, which is no part of a row."""
        cut = self._cut
        marks = () if cut is None else cut.marks
        ragged = self._ragged if cut is None else self._ragged.union(cut.fields)
        positions = {name: at for name, at in self._positions.items() if name not in marks}
        fields = SlotFields(native, positions, ragged, self.output)
        return {name: rows[0] for name, rows in fields.items()}

    @property
    def remaining(self) -> int:
        """How many batches are still to come: of the current epoch, or of the next one if none is going on.

        After a resumption it is less than ``len(loader)``, which is that of a whole epoch, as torchdata's.

        Raises:
            TypeError: The dataset is iterable, and nobody knows.
        """
        if self._is_stream:
            raise TypeError(NOBODY_KNOWS)
        self._settle()
        return self._native.remaining

    def epochs(self, count: int | None = None) -> Iterator[Any]:
        """Returns the batches of several epochs, one after the other; endlessly if `count` is None.

        After a resumption the first is the rest of the epoch that was going on.

        Raises:
            ValueError: `count` is less than 1.
            TypeError: It is no integer.
        """
        if count is not None:
            count = counted("count", count, of="Loader.epochs")
        each = itertools.repeat(self) if count is None else itertools.repeat(self, count)
        return itertools.chain.from_iterable(each)

    def set_epoch(self, epoch: int) -> None:
        """Makes the next iteration begin with this epoch, as ``DistributedSampler.set_epoch`` does.

        A place that was loaded in the same epoch is kept. An iteration that has begun, and of which nothing has been
        taken yet, begins anew with this epoch: frameworks make an iterator before they tell the epoch.
        """
        epoch = counted("epoch", epoch, of="Loader.set_epoch")
        is_other = epoch != self._native.epoch
        self._native.set_epoch(epoch)
        begun = None if self._begun is None else self._begun()
        if is_other and begun is not None:
            begun.begin_anew()

    def state_dict(self) -> dict[str, Any]:
        """Returns where the loader is, as a small dict that JSON can hold.

        Batches handed out so far are behind it. It does not depend on the number of workers, the batch size or the
        world size (with a `Packing`; other cuts say themselves what a batch is), and is the same on every rank that has
        had as many batches. With ``even="uneven"``, save that of rank 0, the last one to come to an epoch's end.
        """
        self._settle()
        return dict(json.loads(self._native.state()))

    def load_state_dict(self, state_dict: Mapping[str, Any], *, grown: bool = False) -> None:
        """Makes the next iteration go on where `state_dict` was taken; nothing is replayed.

        Args:
            state_dict: What `state_dict` returned, of this loader or another one.
            grown: Whether the source may have more samples, behind those that it had: the epoch goes on over those that
                it had, the ones after it over all. See docs/orders.md.

        Raises:
            ValueError: The state is of another version, seed, order or source, or of other lengths of a `cut`; its
                cursor is beyond the end, or in the middle of a sample that the cut keeps whole; or it is none. With
                `grown`, the first samples are others, or the order or a `Mosaic` depends on all.
            TypeError: It is no mapping, or `grown` no bool.
        """
        self._settle()
        if grown := truth("Loader.load_state_dict: grown", grown):
            self._making.check_grown()
        state = state_text(state_dict)
        epoch = as_integer(state_dict.get("epoch"))
        if epoch is not None and 0 <= epoch < 2**64 - 1:
            self._listed(self._native, epoch)
        self._native.load_state(state, grown)
        self._loads += 1

    def stats(self) -> dict[str, Any]:
        """Returns what the loader has done since it was made.

        ``batches``, ``samples``: handed out. ``wait_seconds``: how long you waited for them. ``ready_slots``: batches
        that are finished and wait for you. ``slots``, ``held_slots``, ``arena_bytes``: slots in all, those that you
        hold, and their size. ``read_seconds``, ``decode_seconds``, ``transform_seconds``: sums over the workers.
        ``damaged_images``: damaged files that were decoded all the same (see `DecodeImage`). ``dropped_alpha``,
        ``dropped_colour``, ``reduced_depth``, ``widened_depth``: images that have more, or less, than `DecodeImage`
        keeps. ``restarts``: workers that were replaced. ``failed_samples``, ``quarantine``: how many failed, and which
        first. ``endings``: how workers ended. ``workers``: number and pid of each. ``coordinator_pid``. ``source``:
        what of its description the source passed over or filled in, by name, such as the ``annotations_without_image``
        of a COCO file. ``ranks``: ``rank``, ``world_size`` and ``by``, who said so; until the loader is first asked for
        its length, its state or an epoch, as far as is known. ``even``: ``even``, and, of a whole epoch and all ranks,
        ``padding``: the rows that come again to even them out; ``left_out``: the samples that none of them gets;
        ``fewest_batches``, ``most_batches``: of a rank. They are None where nobody knows, as the dataset is iterable.
        """
        stats: dict[str, Any] = self._native.stats()
        names = ("padding", "left_out", "fewest_batches", "most_batches")
        shares = dict(zip(names, self._native.shares or (None,) * len(names), strict=True))
        return stats | {
            "source": dict(self._counters),
            "ranks": self._ranks._asdict(),
            "even": {"even": self._even, **shares},
        }

    def close(self) -> None:
        """Ends the workers, within two seconds, and gives memory back.

        Batches that are held stay valid, and keep what they lie in. May be called again.
        """
        self._native.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __reduce__(self) -> str:
        raise TypeError("a loader owns processes and cannot be pickled; pickle its arguments and state_dict()")

    def __repr__(self) -> str:
        fields = ", ".join(f"{name}: {spec.dtype}{list(spec.shape)}" for name, spec in self.spec.items())
        count = f"{self._batches()} batches" if not self._is_stream or hasattr(self.source, "__len__") else "batches"
        ranks = self._ranks
        part = "" if ranks.world_size == 1 else ranks.told(self._even, self._native.shares)
        return (
            f"Loader({self.source!r}, batch_size={self.batch_size}, num_workers={self._num_workers}, "
            f"{count} of {fields}{part})"
        )
