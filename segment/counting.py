"""The number of steps that a method has taken, for what fades in or out as its training goes on.

It belongs to the state, so that a resumed training goes on where it was; and it is known without asking the device.
"""

import torch
from torch import Tensor, nn


class StepCount(nn.Module):
    """Counts steps: `value` on the host, and the same in the state dict."""

    steps: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))
        self.value = 0
        self.register_load_state_dict_post_hook(_read)

    def advance(self) -> None:
        """One more."""
        self.steps += 1
        self.value += 1


def _read(count: StepCount, _: object) -> None:
    count.value = int(count.steps)
