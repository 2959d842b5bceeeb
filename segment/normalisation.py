"""Batch normalisation where the batch is too small for it: statistics frozen, or measured over several processes.

Layers that see one value per channel (a globally pooled map of a single image) cannot normalise by batch statistics;
PyTorch refuses them in the middle of a step, so a network is asked before.
"""

from collections.abc import Callable

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

BATCH_NORMS = ("batch", "frozen", "synced")
"""How batch normalisation trains: by its batch, not at all, or by the batches of all processes."""


def freeze_batch_norm(network: nn.Module) -> None:
    """Keep the statistics, scales and shifts of all batch normalisation as they are.

    The mode is lost at the next `network.train()`; call this again after it.
    """
    for module in network.modules():
        if isinstance(module, _BatchNorm):
            module.eval().requires_grad_(False)


def synced_batch_norm(network: nn.Module) -> nn.Module:
    """The network with batch statistics taken over all processes; keys and weights stay. In one process it is plain."""
    return nn.SyncBatchNorm.convert_sync_batchnorm(network)


def refusal_of_single_images(build: Callable[[], nn.Module], height: int, width: int) -> str | None:
    """Why a network cannot train on batches of one image, in its own or PyTorch's words; None if it can.

    Found out on the meta device, without memory or work.

    Args:
        build: Makes the network, which takes (B, 3, H, W).
        height: Of the image.
        width: Of the image.
    """
    with torch.device("meta"), torch.no_grad():
        network = build().to("meta").train()
        try:
            network(torch.zeros(1, 3, height, width))
        except ValueError as error:
            return str(error)
    return None
