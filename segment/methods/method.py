"""The contract between a training method and the one loop that runs every method of both stages.

A method is all that a paper says: its networks, its losses, and how one step is taken. The engine is everything else:
devices, precision, processes, data order, checkpoints, logs. Neither knows the other's insides.
"""

from collections.abc import Iterable, Iterator
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.optim import Optimizer


class Update(Protocol):
    """Given by the engine to `Method.step`: back-propagate the sum of the losses and step one optimizer."""

    def __call__(self, optimizer: str, losses: dict[str, Tensor] | Iterable[dict[str, Tensor]]) -> None:
        """Zero the gradients of `optimizers()[optimizer]`, back-propagate the sum of all losses, and step.

        Args:
            optimizer: A key of `Method.optimizers()`.
            losses: Scalars by name, already weighted; or several such parts, one after the other. Each part is
                back-propagated before the next is asked for, so that a generator needs the memory of one graph at a
                time. The engine stops the run, naming the term, if one is not finite.
        """


def parts_of(losses: dict[str, Tensor] | Iterable[dict[str, Tensor]]) -> Iterator[dict[str, Tensor]]:
    """The parts that an `Update` was given."""
    yield from [losses] if isinstance(losses, dict) else losses


class Method(nn.Module):
    """Networks, losses and one step of training.

    Everything that a resumed run needs is in `state_dict()`: networks, moving averages, image pools. Optimizers are
    saved by the engine. Learning rates follow from the step alone. Random draws may use torch's global generator:
    the engine seeds it from (seed, step) before each step, so a step does not depend on the ones before it.
    """

    def memory_format(self, device: torch.device) -> torch.memory_format:
        """The layout in which the method's networks train fastest there; `benchmarks/training_step.py` measures it."""
        return torch.contiguous_format

    def optimizers(self) -> dict[str, Optimizer]:
        """The optimizers by name; the same objects at every call."""
        ...

    def learning_rate_scale(self, step: int) -> float:
        """Factor on every initial learning rate at `step` (0-based); a pure function of the step."""
        ...

    def step(self, batch: Any, update: Update) -> dict[str, Tensor]:
        """Take one training step on `batch` (tensors on the method's device).

        Returns:
            What to log: scalars by name, detached or not.
        """
        ...

    def preview(self, batch: Any) -> dict[str, Tensor]:
        """What a person wants to look at: images (B, 3, H, W) in [0, 1] by title, in the order to show them."""
        ...
