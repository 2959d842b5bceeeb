"""A moving average of a network's weights, which scores better than the weights of any single step.

Tarvainen and Valpola, NeurIPS 2017 (arXiv:1703.01780). It is part of the method's state, so a resumed run continues it.
"""

import copy
from typing import Self

import torch
from torch import Tensor, nn


class MovingAverage(nn.Module):
    """Exponential moving average of parameters and buffers; `network` is the averaged copy, always in evaluation mode.

    Floating-point buffers (batch statistics) are averaged like parameters, since they belong to the averaged weights;
    integer ones (counters) are copied. Early on the decay is (1 + n) / (10 + n) at update n, so that the random
    initial weights are soon forgotten.
    """

    updates: Tensor

    def __init__(self, network: nn.Module, decay: float) -> None:
        """Start from a copy of `network`; `decay` in [0, 1) is the share of the old average at each update."""
        super().__init__()
        if not 0 <= decay < 1:
            raise ValueError(f"The decay of a moving average is {decay}; it must be at least 0 and below 1.")
        self.decay = decay
        self.network = copy.deepcopy(network).requires_grad_(False)
        self.register_buffer("updates", torch.zeros((), dtype=torch.int64))
        self._updates = 0  # the same on the host: to read the buffer back would wait for the device at every step
        self.register_load_state_dict_post_hook(_count_anew)
        self.eval()

    def train(self, mode: bool = True) -> Self:
        """Stay in evaluation mode, whatever the method around it does: batch statistics are averaged, not measured."""
        return super().train(False)

    @torch.no_grad()
    def update(self, network: nn.Module) -> None:
        """Move the average towards `network`, which has the structure of the one it started from."""
        share = 1 - min(self.decay, (1 + self._updates) / (10 + self._updates))
        averaged = [*self.network.parameters(), *self.network.buffers()]
        current = [*network.parameters(), *network.buffers()]
        pairs = list(zip(averaged, current, strict=True))
        moved = [(average, value) for average, value in pairs if average.is_floating_point()]
        copied = [(average, value) for average, value in pairs if not average.is_floating_point()]
        # All tensors at once: on a GPU a few kernels instead of one for each of hundreds.
        if moved:
            torch._foreach_lerp_(*map(list, zip(*moved, strict=True)), share)
        if copied:
            torch._foreach_copy_(*map(list, zip(*copied, strict=True)))
        self._updates += 1
        self.updates += 1


def _count_anew(average: MovingAverage, _: object) -> None:
    """Go on from the count that was loaded."""
    average._updates = int(average.updates)
