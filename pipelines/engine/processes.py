"""Several processes at one job: training, each on its part of every batch, or frames, each on every n-th of them.

What they must agree on, and no more. Gradients are averaged in the open, after `backward`, instead of by a
DistributedDataParallel around each network: a method owns several networks and calls them as its paper says, parts of
them, twice in a step or not at all, and such a wrapper expects one forward pass and then one backward pass of one
module. What is lost is the overlap of both with communication.
"""

import contextlib
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Self, TextIO, TypeVar

import torch
from torch import Tensor
from torch import distributed as dist

from pipelines.data.sampling.workers import tells_of_a_lost_worker
from pipelines.engine.heartbeat import JOINING_S, Heartbeat, allowed_silence, leave
from pipelines.engine.torchrun import ProcessRank, open_store
from pipelines.errors import Interrupted, UserError
from segment.peers import Peers

MEETING = 4
"""Items after which processes that share a list out wait for each other: a frame may take seconds, and one whose
neighbour died would else do its whole share, for hours, before it heard of it."""

LONGEST_WAIT = timedelta(hours=12)
"""How long an exchange may wait for a process that lives: what one does alone while the others wait, such as to count
or read, may take hours. A process that does not live is noticed by its heartbeat."""

Item = TypeVar("Item")


@dataclass(frozen=True)
class Processes:
    """This process, `rank` from 0, among `world_size` at one job. Alone, it gives back what it is given."""

    rank: int = 0
    world_size: int = 1

    @classmethod
    def of_environment(cls) -> Self:
        """By the rank and world size that torchrun gave this process."""
        started = ProcessRank.of_environment()
        return cls(started.rank, started.world_size)

    @property
    def leads(self) -> bool:
        """Whether this is the process that writes, and speaks."""
        return self.rank == 0

    def stderr(self) -> TextIO:
        """Where progress goes: nowhere but in the process that speaks."""
        return ProcessRank(self.rank, self.world_size).stderr()

    def share_of(self, batch: int) -> range:
        """The slots of a batch that are this process's."""
        size = batch // self.world_size
        return range(self.rank * size, (self.rank + 1) * size)

    @contextlib.contextmanager
    def joined(self, device: torch.device) -> Iterator[None]:
        """Be connected with the others inside the block: by gloo, and by NCCL for what lies on GPUs.

        Raises:
            UserError: They cannot be reached.
        """
        if self.world_size == 1:
            yield
            return
        if device.type == "cuda":
            torch.cuda.set_device(device)
        silence = allowed_silence()
        heartbeat = Heartbeat(
            ProcessRank(self.rank, self.world_size),
            lambda: open_store(silence),
            silence,
            lambda silent: leave(silent, silence),
        )
        try:
            self._meet("cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo", heartbeat)
            yield
            # All leave together: who ended earlier would seem to be dead, and took the store along.
            self.wait()
        finally:
            heartbeat.stop()
        self.wait()
        # Not where something failed: the others may be gone, and those of NCCL would be waited for.
        dist.destroy_process_group()

    def _meet(self, backend: str, heartbeat: Heartbeat) -> None:
        """Find the others, and watch over them from then on.

        Raises:
            UserError: They cannot be reached.
        """
        try:
            store, *_ = next(
                dist.rendezvous("env://", self.rank, self.world_size, timeout=timedelta(seconds=JOINING_S))
            )
            heartbeat.start()
            dist.init_process_group(
                backend, store=store, rank=self.rank, world_size=self.world_size, timeout=LONGEST_WAIT
            )
            self.wait()
            heartbeat.have_met()
        except (RuntimeError, ValueError) as error:
            raise UserError(
                f"process {self.rank} of {self.world_size} cannot reach the others ({_first_line(error)}); "
                "start all by one torchrun, and see that its --rdzv-endpoint can be reached"
            ) from error

    def any(self, flag: bool) -> bool:
        """Whether it is so in any process. All wait here for the last."""
        if self.world_size == 1:
            return flag
        return bool(_all_reduced(torch.tensor(int(flag)), dist.ReduceOp.MAX))

    def wait(self) -> None:
        """Wait here for the last."""
        self.any(False)

    def from_leader(self, number: int) -> int:
        """The leader's number, in all processes. All wait here for the last."""
        if self.world_size == 1:
            return number
        return int(self.sum(torch.tensor(number if self.leads else 0)))

    def sum(self, tensor: Tensor) -> Tensor:
        """The sum over all processes, in place; no gradients. Of the same bits in all of them."""
        return tensor if self.world_size == 1 else _all_reduced(tensor, dist.ReduceOp.SUM)

    def share(self, items: Sequence[Item]) -> list[Item]:
        """What falls to this process: every `world_size`-th item from `rank` on, none where there are too few."""
        return list(items[self.rank :: self.world_size])

    def walk(self, items: Sequence[Item]) -> Iterator[Item]:
        """This process's `share`, item by item; who is left alone hears of it at the next meeting.

        Raises:
            Interrupted: Another process is gone.
        """
        fewest = len(items) // self.world_size
        for done, item in enumerate(self.share(items)):
            if 0 < done < fewest and done % MEETING == 0:
                self.wait()
            yield item

    def gathered(self, own: Sequence[Item]) -> list[Item]:
        """What each process made of its `share`, in the order of the whole, in all of them. All wait here for the last.

        Things that can be pickled, on the CPU: a sum over them in that order has the bits that one process gives it.
        """
        if self.world_size == 1:
            return list(own)
        parts: list[list[Item]] = [[] for _ in range(self.world_size)]
        _hearing_of_others(lambda: dist.all_gather_object(parts, list(own)))
        total = sum(map(len, parts))
        return [parts[place % self.world_size][place // self.world_size] for place in range(total)]

    def peers(self) -> Peers:
        """What a method has to know of them."""
        return Peers(self.rank, self.world_size, self.sum) if self.world_size > 1 else Peers()

    def mean(self, values: Mapping[str, float]) -> dict[str, float]:
        """Each value's mean over all processes."""
        if self.world_size == 1:
            return dict(values)
        sums = self.sum(torch.tensor(list(values.values()), dtype=torch.float64))
        return dict(zip(values, (sums / self.world_size).tolist(), strict=True))

    def average_gradients(self, optimizer: torch.optim.Optimizer) -> None:
        """Replace the gradients that an optimizer is to step by with their means over all processes.

        One message for each dtype. The same parameters must have gradients in all processes, as they have where all
        run the same step. A loss that is a mean over pixels is so averaged over processes, not over the pixels of all:
        where ignored pixels are spread unevenly both differ, here as under DistributedDataParallel.
        """
        if self.world_size == 1:
            return
        gradients: dict[torch.dtype, list[Tensor]] = {}
        for parameter in (parameter for group in optimizer.param_groups for parameter in group["params"]):
            if parameter.grad is not None:
                gradients.setdefault(parameter.grad.dtype, []).append(parameter.grad)
        for own in gradients.values():
            message = self.sum(torch.cat([gradient.reshape(-1) for gradient in own])).div_(self.world_size)
            for gradient, mean in zip(own, message.split([gradient.numel() for gradient in own]), strict=True):
                gradient.copy_(mean.view(gradient.shape))

    def refuse_difference(self, what: Any) -> None:
        """UserError in all processes if not all were given the same, JSON-like. All wait here for the last."""
        if self.world_size == 1:
            return
        digest = hashlib.sha256(json.dumps(what, sort_keys=True).encode()).digest()
        number = int.from_bytes(digest[:7], "little")
        if self.any(self.from_leader(number) != number):
            raise UserError(
                f"the {self.world_size} processes do not have the same settings, frames or precision; give all the "
                "same command, files and kind of device"
            )


ALONE = Processes()


def _all_reduced(tensor: Tensor, operation: dist.ReduceOp.RedOpType) -> Tensor:
    """The tensor, reduced in place; see `_hearing_of_others`."""
    _hearing_of_others(lambda: dist.all_reduce(tensor, operation))
    return tensor


def _hearing_of_others(exchange: Callable[[], object]) -> None:
    """Do what all processes take part in.

    Raises:
        Interrupted: Another process is gone. If it told why, this is not shown (see `torchrun.tell_once`).
        RuntimeError: A process that makes batches for this one is.
    """
    try:
        exchange()
    except RuntimeError as error:
        if tells_of_a_lost_worker(error):  # of this process's own: it is heard of while the others are waited for
            raise
        raise Interrupted(
            f"another process is gone without a word, killed perhaps ({_first_line(error)}); "
            "what was saved is kept and the same command carries on"
        ) from error


def _first_line(error: Exception) -> str:
    return str(error).split("\n")[0]
