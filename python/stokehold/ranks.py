"""Which of several trainers this one is."""

from __future__ import annotations

import os
import sys
from typing import Any, Final, NamedTuple, Self

from stokehold.checks import as_integer, shown
from stokehold.sizes import from_env, integer

__all__ = ["Ranks", "local_world_size"]


class Launcher(NamedTuple):
    """What one that starts several trainers tells each of them, as variables of the environment."""

    name: str
    rank: str
    world_size: str
    needs: str | None = None
    """One that is there only where this one has started the process."""


LAUNCHERS: Final = (
    Launcher("torchrun", "RANK", "WORLD_SIZE"),
    # A batch script has them too, but is no rank: only a step is, as in JAX's `SlurmCluster`.
    Launcher("SLURM", "SLURM_PROCID", "SLURM_NTASKS", "SLURM_STEP_NODELIST"),
    Launcher("Open MPI", "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"),
    Launcher("PMI", "PMI_RANK", "PMI_SIZE"),
)
"""In the order in which they are asked."""

_LOCAL: Final = ("LOCAL_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_SIZE", "MPI_LOCALNRANKS")


class Ranks(NamedTuple):
    """This trainer's number, how many there are, and who says so."""

    rank: int
    world_size: int
    by: str

    @classmethod
    def given(cls, rank: Any, world_size: int | None) -> Self | None:  # noqa: ANN401 (or of PyTorch)
        """Returns what the arguments of a loader say; None where they say nothing.

        Of the two numbers, one may be missing that torchrun's variables have.

        Raises:
            TypeError: `rank` is no number, process group or device mesh.
            ValueError: One of the two is missing, or the rank is none of so many.
        """
        if rank is None and world_size is None:
            return None
        if rank is not None and as_integer(rank) is None:
            return cls._of_group(rank, world_size)
        number = None if rank is None else integer("Loader: rank", rank)
        size = None if world_size is None else integer("Loader: world_size", world_size)
        if number is None:
            number = _other("rank", "RANK", f"world_size={shown(size)}")
        if size is None:
            size = _other("world_size", "WORLD_SIZE", f"rank={shown(number)}")
        return cls._checked(number, size, "arguments")

    def told(self, even: str, shares: tuple[int, int, int, int] | None) -> str:
        """Returns what there is to say of them, and of how samples are shared out, for the `repr` of a loader."""
        text = f", rank {self.rank} of {self.world_size} by {self.by}"
        if even == "pad":
            return text
        text += f", even={even!r}"
        _, _, fewest, most = shares or (0, 0, 0, 0)
        return text if fewest == most else f"{text}, {fewest} to {most} batches a rank"

    @classmethod
    def _checked(cls, rank: int, world_size: int, by: str) -> Self:
        if world_size < 1:
            raise ValueError(f"Loader: world_size must be 1 or more, not {world_size} ({by})")
        if not 0 <= rank < world_size:
            raise ValueError(
                f"Loader: rank must be 0 to {world_size - 1} with world_size={world_size}, not {rank} ({by})"
            )
        return cls(rank, world_size, by)

    @classmethod
    def _of_group(cls, group: Any, world_size: int | None) -> Self:  # noqa: ANN401
        if world_size is not None:
            raise ValueError("Loader: rank is a group of ranks, which knows its world_size: leave world_size= out")
        kind = type(group).__name__
        if kind == "DeviceMesh":
            if group.ndim != 1:
                raise ValueError(
                    f"Loader: rank is a DeviceMesh of {group.ndim} axes: pass the one over which samples are shared, "
                    'such as mesh["dp"]; ranks along the others read the same samples'
                )
            return cls._checked(group.get_local_rank(), group.size(), "DeviceMesh")
        distributed = _distributed()
        if distributed is None or not isinstance(group, distributed.ProcessGroup):
            raise TypeError(
                f"Loader: rank must be an integer, a process group of torch or a DeviceMesh, not {shown(group)}"
            )
        rank = distributed.get_rank(group)
        if rank < 0:
            raise ValueError("Loader: rank is a process group that this trainer is no part of")
        return cls._checked(rank, distributed.get_world_size(group), "process group")

    @classmethod
    def found(cls, *, may_come: bool = False) -> Self:
        """Returns what is known of ranks where nobody has given them: one trainer, where nothing is.

        Where a process group `may_come`, half of a pair of variables is no error yet.

        Asked are the process group of PyTorch and JAX's distributed runtime, where one runs (neither is imported), and
        then the variables of torchrun, SLURM, Open MPI and PMI.

        Raises:
            ValueError: A launcher has set one of its two variables alone, or to what is no number.
        """
        distributed = _distributed()
        if distributed is not None and distributed.is_initialized():
            return cls._checked(distributed.get_rank(), distributed.get_world_size(), "torch.distributed")
        jax = sys.modules.get("jax")
        is_initialized = getattr(getattr(jax, "distributed", None), "is_initialized", None)
        if jax is not None and is_initialized is not None and is_initialized():
            return cls._checked(jax.process_index(), jax.process_count(), "jax.distributed")
        environment, half = os.environ, None
        for launcher in LAUNCHERS:
            pair = [environment.get(name, "") for name in (launcher.rank, launcher.world_size)]
            if launcher.needs is not None and not environment.get(launcher.needs):
                continue
            if all(pair):
                return cls._checked(from_env(launcher.rank, 0), from_env(launcher.world_size, 1), launcher.name)
            if any(pair) and half is None:
                half = launcher, pair
        if half is None or half[1] == ["", "1"]:
            return cls(0, 1, "nothing")
        if may_come:
            return cls(0, 1, "nothing yet")
        launcher, (rank, size) = half
        there, lacks = (launcher.world_size, launcher.rank) if size else (launcher.rank, launcher.world_size)
        raise ValueError(
            f"the environment has {there}={size or rank} but no {lacks}, and there is no process group, so nobody "
            "knows which part of the samples is this trainer's: pass rank= and world_size= (rank=0, world_size=1 for "
            "all samples), or begin to iterate after torch.distributed.init_process_group"
        )


def local_world_size() -> int:
    """Returns how many trainers share this machine, as far as a launcher says so.

    Raises:
        ValueError: A variable is no number.
    """
    return next((from_env(name, 1) for name in _LOCAL if os.environ.get(name)), 1)


def _other(argument: str, variable: str, given: str) -> int:
    if not os.environ.get(variable):
        raise ValueError(f"Loader: {given} needs {argument}= as well, or the environment's {variable}")
    return from_env(variable, 0)


def _distributed() -> Any:  # noqa: ANN401 (a module that may not be there)
    """Returns PyTorch's module of process groups, where it is imported and there are any."""
    torch = sys.modules.get("torch")
    distributed = getattr(torch, "distributed", None)
    return distributed if distributed is not None and distributed.is_available() else None
