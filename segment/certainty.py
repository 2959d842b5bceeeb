"""Losses that make a network sure on frames without labels."""

import torch
from torch import Tensor


def maximum_squares(probabilities: Tensor, weights: Tensor | None = None) -> Tensor:
    """Minus half the mean square of the probabilities: lowest where each pixel is given to one class.

    Args:
        probabilities: (B, K, H, W), over the classes; gradients flow, p itself being the gradient's size.
        weights: (B, H, W), of pixels; None weighs all alike.

    Returns:
        Scalar between -1/2K and -1/2K^2 without weights.

    Source: Chen, Xue, Cai, ICCV 2019, eq. 5. As in the authors' code it is a mean over classes too, a factor 1/K beside
        the printed formula; the published weight 0.1 belongs to it.
    """
    squares = probabilities.square()
    if weights is None:
        return -squares.mean() / 2
    # The code divides the weighted sum by images and classes alone: the weights hold one over the number of pixels.
    batch, classes = probabilities.shape[:2]
    return -(squares * weights[:, None]).sum() / (2 * batch * classes)


@torch.no_grad()
def image_wise_weights(probabilities: Tensor, power: float = 0.2) -> Tensor:
    """A weight for each pixel that falls with the number of pixels that its frame gives to the same class.

    Args:
        probabilities: (B, K, H, W).
        power: 0 weighs all pixels alike, 1 all classes.

    Returns:
        (B, H, W): 1 / max(N_c^power N^(1 - power), 1), N_c the pixels of the class, N all pixels of the frame.

    Source: Chen, Xue, Cai, ICCV 2019, eq. 7 and the authors' code, which counts in each frame by itself.
    """
    batch, classes, height, width = probabilities.shape
    seen = probabilities.argmax(dim=1).flatten(1)  # (B, H*W)
    one_each = torch.ones(seen.shape, device=seen.device)
    counts = torch.zeros(batch, classes, device=seen.device).scatter_add_(1, seen, one_each)
    every = float(height * width)
    weights = 1 / (counts**power * every ** (1 - power)).clamp(min=1)
    return weights.gather(1, seen).view(batch, height, width)
