"""The contract between a training method and the one loop that runs every method of both stages.

A method is all that a paper says: its networks, its losses, and how one step is taken. The engine is everything else:
devices, precision, processes, data order, checkpoints, logs. Neither knows the other's insides.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.optim import Optimizer


class Update(Protocol):
    """What the engine hands to `Method.step` to learn by: gradients first, weights after them.

    No gradient is there when a step begins. Each `backward` adds to those that `step` then uses up.
    """

    def backward(self, losses: dict[str, Tensor]) -> dict[str, Tensor]:
        """Back-propagate the sum of the losses and free their graph.

        Args:
            losses: Scalars by name, already weighted. A method with several graphs calls this once for each, so that it
                needs the memory of one at a time.

        Returns:
            The same losses without their graph, to be logged.
        """

    def step(self, *optimizers: str) -> None:
        """Average the gradients over all processes, step the optimizers, and drop the gradients they used.

        Args:
            optimizers: Keys of `Method.optimizers()`; several where a paper moves several networks by one objective.
                The engine stops the run, naming the term, if a loss since the last call is no finite number.
        """

    def __call__(self, optimizer: str, losses: dict[str, Tensor]) -> dict[str, Tensor]:
        """`backward`, then `step` of one optimizer: the usual case."""


class Method(nn.Module, ABC):
    """Networks, losses and one step of training.

    Everything that a resumed run needs is in `state_dict()`: networks, moving averages, image pools. Optimizers are
    saved by the engine. Learning rates follow from the step alone. Random draws may use torch's global generator:
    the engine seeds it from (seed, step) before each step, so a step does not depend on the ones before it. The seed is
    that of all processes: what is drawn for each image goes by way of `Peers.drawn`.
    """

    def memory_format(self, device: torch.device) -> torch.memory_format:
        """The layout in which the method's networks train fastest there; `benchmarks/training_step.py` measures it."""
        return torch.contiguous_format

    @abstractmethod
    def optimizers(self) -> dict[str, Optimizer]:
        """The optimizers by name; the same objects at every call."""

    @abstractmethod
    def learning_rate_scale(self, step: int) -> float:
        """Factor on every initial learning rate at `step` (0-based); a pure function of the step."""

    @abstractmethod
    def step(self, batch: Any, update: Update) -> dict[str, Tensor]:
        """Take one training step on `batch` (tensors on the method's device).

        Returns:
            What to log: scalars by name, detached.
        """

    def warnings(self, logged: Mapping[str, float]) -> list[str]:
        """Lines for a person about what the logged values show; none where all is well.

        Args:
            logged: What `step` returned, averaged over all processes; asked each time that the engine logs.

        Raises:
            Collapsed: Going on is of no use (segment.adaptation.guards); the engine stops the run with its message.
        """
        return []

    def recall(self, logged: Iterable[Mapping[str, float]]) -> None:
        """Have `warnings` go on as if it had been asked of these values and of no others, and say nothing of them.

        Called before the first step, and when a run goes on or back, with what was logged up to its checkpoint.

        Raises:
            Collapsed: As of `warnings`.
        """

    def observed(self) -> dict[str, Tensor]:
        """What else to log of the last step, whatever method took it: scalars by name, detached; here nothing."""
        return {}

    @abstractmethod
    def preview(self, batch: Any) -> dict[str, Tensor]:
        """What a person wants to look at: images (B, 3, H, W) in [0, 1] by title, in the order to show them."""
