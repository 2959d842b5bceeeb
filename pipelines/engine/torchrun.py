"""What torchrun tells each process that it starts, and how such processes end with one message instead of many.

Every command line asks here, so torch is imported only where there are several processes.
"""

import contextlib
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Self, TextIO

PATIENCE_S = 10
"""How long to wait for the store where all meet, for another process to print its line, or for all to have heard."""


@dataclass(frozen=True)
class ProcessRank:
    """This process among all that were started: `rank` of `world_size`, and `local_rank` on its machine, from 0."""

    rank: int = 0
    world_size: int = 1
    local_rank: int = 0

    @classmethod
    def of_environment(cls, environment: Mapping[str, str] = os.environ) -> Self:
        """By RANK, WORLD_SIZE and LOCAL_RANK; the only one where the first two do not speak of several."""
        rank, world_size = environment.get("RANK", ""), environment.get("WORLD_SIZE", "")
        if not (rank.isdigit() and world_size.isdigit()) or int(world_size) < 2:
            return cls()
        local = environment.get("LOCAL_RANK", "")
        return cls(int(rank), int(world_size), int(local) if local.isdigit() else 0)

    def stderr(self) -> TextIO:
        """Where goes what all processes would say alike: nowhere but in the first of them."""
        return sys.stderr if self.rank == 0 else open(os.devnull, "w")


def attempt() -> str:
    """Which start of the job this is: a launcher's store outlives the processes that it starts anew."""
    return os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")


def ended_key() -> str:
    """Where the first process that ends by itself says with which exit code."""
    return f"sim2real/ended/{attempt()}"


def open_store(timeout_s: float) -> Any:
    """A connection of its own to the store where the processes meet.

    Raises:
        RuntimeError: Nobody keeps one there, or it cannot be reached in time.
    """
    from datetime import timedelta

    from torch.distributed import TCPStore

    place, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    return TCPStore(place, port, is_master=False, timeout=timedelta(seconds=timeout_s))


def tell_once(tell: Callable[[], None], exit_code: int) -> int:
    """Tell why this process ends, unless another one has told already; return the exit code that all end with.

    What ends one process ends all: they fail alike, or are left waiting for the one that failed. Who comes first tells
    the reason, and the others wait until it is told, because torchrun ends all as soon as one has ended.
    """
    rank = str(ProcessRank.of_environment().rank)
    store = _shared_store()
    if store is None:
        tell()
        return exit_code
    mine = f"{rank} {exit_code}"
    first = store.compare_set(ended_key(), "", mine).decode()
    told = f"sim2real/told/{attempt()}"
    if first == mine:
        tell()
        store.set(told, rank)
    else:
        with contextlib.suppress(RuntimeError):  # its teller was killed meanwhile
            store.wait([told])
    _take_leave(store, ProcessRank.of_environment())
    return int(first.split()[1])


def _take_leave(store: Any, place: ProcessRank) -> None:
    """Without a launcher the first process keeps the store: it stays until the others know why they end."""
    if _launcher_keeps_the_store():
        return
    from datetime import timedelta

    left = [f"sim2real/left/{attempt()}/{rank}" for rank in range(place.world_size)]
    with contextlib.suppress(RuntimeError):  # others are gone without a word, or the first is
        if place.rank > 0:
            store.set(left[place.rank], "")
        else:
            store.wait(left[1:], timedelta(seconds=PATIENCE_S))


def _launcher_keeps_the_store() -> bool:
    """Whether there is one that outlives all processes: torchrun's. SLURM's srun keeps none."""
    return os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"


def _shared_store() -> Any:
    """A connection to the store where the processes met, or are to meet; None where there is none."""
    if ProcessRank.of_environment().world_size < 2 or not (_launcher_keeps_the_store() or _have_met()):
        return None
    try:
        return open_store(PATIENCE_S)
    except RuntimeError:
        return None


def _have_met() -> bool:
    """Whether this process was connected with the others; torch is not imported to find out."""
    distributed = sys.modules.get("torch.distributed")
    return distributed is not None and distributed.is_initialized()
