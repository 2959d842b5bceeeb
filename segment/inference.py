"""From an image to a label map.

Scores are compared at the size of the labels: logits are upsampled, labels are never shrunk.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


@torch.no_grad()
def predict_logits(network: nn.Module, image: Tensor, size: tuple[int, int]) -> Tensor:
    """Logits at the size of the labels.

    Args:
        network: In evaluation mode.
        image: (B, 3, h, w) in [0, 1], at the size at which the network shall see it.
        size: (height, width) of the labels.

    Returns:
        (B, K, height, width), bilinearly upsampled.

    Raises:
        ValueError: The network is in training mode.
    """
    if network.training:
        raise ValueError("The network is in training mode and would predict by batch statistics. Call network.eval().")
    logits = network(image)
    if logits.shape[-2:] == size:
        return logits
    return F.interpolate(logits, size, mode="bilinear", align_corners=False)


def predict(network: nn.Module, image: Tensor, size: tuple[int, int]) -> Tensor:
    """The class of every pixel as an int64 label map (B, height, width); arguments as in `predict_logits`."""
    # max() finds the same index as argmax(), which is five times slower on the CPU over this dimension.
    return predict_logits(network, image, size).max(dim=1).indices
