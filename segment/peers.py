"""The processes that take every step of a training together, as far as a method has to know of them.

Gradients are averaged by the engine. What a step itself fills from its batch (pools of past images, memories of styles)
must come to the same in all processes, or each would train by another memory: here batches are put together again.
Random numbers are the same in all processes too: what is drawn for each image is drawn for those of the others as well.
"""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor

Rows = TypeVar("Rows", bound=Tensor | Sequence[object])


def _alone(tensor: Tensor) -> Tensor:
    return tensor


@dataclass(frozen=True)
class Peers:
    """This process, `rank` from 0, among `world_size` of them; alone, it gives back what it is given."""

    rank: int = 0
    world_size: int = 1
    sum: Callable[[Tensor], Tensor] = _alone
    """A tensor to its sum over all processes, the same in all; may work in place, has no gradient."""

    @torch.no_grad()
    def gathered(self, rows: Tensor) -> Tensor:
        """The rows (N, ...) of all processes, in the order of their ranks, without gradient.

        Their numbers may differ; all else must not. As each batch is shared out in that order, the images of all
        processes come as one process would have them.
        """
        if self.world_size == 1:
            return rows.detach()
        counts = torch.zeros(self.world_size, dtype=torch.int64)
        counts[self.rank] = len(rows)
        counts = self.sum(counts).tolist()
        first = sum(counts[: self.rank])
        everyones = rows.new_zeros((sum(counts), *rows.shape[1:]))
        everyones[first : first + len(rows)] = rows
        return self.sum(everyones)

    def own(self, everyones: Rows, number: int) -> Rows:
        """This process's rows of what `gathered` gave, where each process has the same number of them."""
        return everyones[self.rank * number : (self.rank + 1) * number]

    def drawn(self, draw: Callable[[int], Rows], number: int) -> Rows:
        """Random numbers for each of this process's `number` images: those that one process would have for them.

        Args:
            draw: What gives so many rows of them, by torch's global generators, which the engine has made alike in all
                processes.
            number: The same in each process.
        """
        return self.own(draw(number * self.world_size), number)

    @contextlib.contextmanager
    def drawing_apart(self) -> Iterator[None]:
        """Inside the block each process has random numbers of its own, for what knows its own images alone."""
        if self.world_size == 1:
            yield
            return
        inside, afterwards = torch.randint(2**62, (2,)).tolist()
        torch.manual_seed(inside + self.rank)
        yield
        torch.manual_seed(afterwards)


ALONE = Peers()
