"""What torchrun tells each process that it starts, and how such processes end with one message instead of many.

Every command line asks here, so torch is imported only where there are several processes.
"""

import contextlib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Self

PATIENCE_S = 10
"""How long to wait for the launcher's store, or for another process to print its line."""


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


def tell_once(tell: Callable[[], None], exit_code: int) -> int:
    """Tell why this process ends, unless another one has told already; return the exit code that all end with.

    What ends one process ends all: they fail alike, or are left waiting for the one that failed. Who comes first tells
    the reason, and the others wait until it is told, because torchrun ends all as soon as one has ended.
    """
    rank = str(ProcessRank.of_environment().rank)
    store = _launchers_store()
    if store is None:
        tell()
        return exit_code
    attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
    mine = f"{rank} {exit_code}"
    first = store.compare_set(f"sim2real/ended/{attempt}", "", mine).decode()
    told = f"sim2real/told/{attempt}"
    if first == mine:
        tell()
        store.set(told, rank)
    else:
        with contextlib.suppress(RuntimeError):  # its teller was killed meanwhile
            store.wait([told])
    return int(first.split()[1])


def _launchers_store() -> Any:
    """The store that torchrun keeps for its processes, which outlives them; None where there is none."""
    if ProcessRank.of_environment().world_size < 2 or os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True":
        return None
    from datetime import timedelta

    from torch.distributed import TCPStore

    try:
        return TCPStore(
            os.environ["MASTER_ADDR"],
            int(os.environ["MASTER_PORT"]),
            is_master=False,
            timeout=timedelta(seconds=PATIENCE_S),
        )
    except RuntimeError:
        return None
