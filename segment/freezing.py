"""Networks that judge without learning: gradients pass through them to their input and leave no trace in them."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn


@contextmanager
def frozen(*networks: nn.Module) -> Iterator[None]:
    """Within the block, what `networks` compute gives no gradient to their parameters, only to their input.

    The graph remembers: backward may run after the block. It costs the judges' weight gradients nothing, and no stale
    gradient waits in them for the next optimizer step.
    """
    trained = [parameter for network in networks for parameter in network.parameters() if parameter.requires_grad]
    for parameter in trained:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in trained:
            parameter.requires_grad_(True)
