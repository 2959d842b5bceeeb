"""From an image to a label map, in one look or in several whose answers are averaged.

Scores are compared at the size of the labels: logits are upsampled, labels are never shrunk. `Flipped`, `MultiScale`,
`Ensemble` and `Windowed` make a network of networks, so they can be put into each other. Each returns the logarithm of
the mean of the probabilities it got: again logits, whose softmax is that mean exactly, whatever is averaged next.
"""

from collections.abc import Iterable, Iterator, Sequence

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


class Flipped(nn.Module):
    """The mean of what a network sees in an image and in its mirror image."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.train(network.training)

    def forward(self, image: Tensor) -> Tensor:
        """(B, 3, H, W) in [0, 1] to logits of the same size, (B, K, H, W)."""
        return _mean_of_probabilities(self._looks(image))

    def _looks(self, image: Tensor) -> Iterator[Tensor]:
        yield self.network(image)
        yield self.network(image.flip(-1)).flip(-1)


class MultiScale(nn.Module):
    """The mean of what a network sees in an image at several sizes.

    Args:
        network: Any network whose logits have the image's size.
        scales: Factors of both sides, such as 0.75, 1 and 1.25; each at least one pixel.
    """

    def __init__(self, network: nn.Module, scales: Sequence[float]) -> None:
        super().__init__()
        if not scales or min(scales) <= 0:
            raise ValueError(f"Scales are {list(scales)}; expected one or more, all above 0.")
        self.network, self.scales = network, tuple(scales)
        self.train(network.training)

    def forward(self, image: Tensor) -> Tensor:
        """(B, 3, H, W) in [0, 1] to logits of the same size, (B, K, H, W)."""
        return _mean_of_probabilities(self._looks(image))

    def _looks(self, image: Tensor) -> Iterator[Tensor]:
        height, width = image.shape[-2:]
        for scale in self.scales:
            size = (max(1, round(height * scale)), max(1, round(width * scale)))
            yield _resized(self.network(_resized(image, size)), (height, width))


class Ensemble(nn.Module):
    """The weighted mean of what several networks see in an image; they may be of different kinds.

    Args:
        networks: At least one, all in evaluation mode and of the same classes.
        weights: One for each, above 0, of any sum; None: all alike.

    Source: of probabilities, 0.7 and 0.3, as Wang et al. average two adapted networks ("Feature To Adapt").
    """

    def __init__(self, networks: Sequence[nn.Module], weights: Sequence[float] | None = None) -> None:
        super().__init__()
        weights = [1.0] * len(networks) if weights is None else list(weights)
        if not networks or len(weights) != len(networks) or not min(weights) > 0:
            raise ValueError(f"Weights are {weights}; expected one above 0 for each of {len(networks)} networks.")
        self.networks = nn.ModuleList(networks)
        self.weights = tuple(weight / sum(weights) for weight in weights)
        self.train(networks[0].training)

    def forward(self, image: Tensor) -> Tensor:
        """(B, 3, H, W) in [0, 1] to logits of the same size, (B, K, H, W)."""
        total = None
        for network, weight in zip(self.networks, self.weights, strict=True):
            probabilities = weight * network(image).float().softmax(1)
            total = probabilities if total is None else total.add_(probabilities)
        return _logarithm(total)


class Windowed(nn.Module):
    """What a network sees through windows that slide over the image; where they overlap, their mean.

    Args:
        network: Any network whose logits have the image's size.
        window: (height, width) in pixels of the image that this network is given; cut to the image where it is smaller.
        stride: (down, right) between windows, at most their size. The last ones are moved back to the image's end.
    """

    def __init__(self, network: nn.Module, window: tuple[int, int], stride: tuple[int, int]) -> None:
        super().__init__()
        if not all(0 < step <= side for step, side in zip(stride, window, strict=True)):
            raise ValueError(
                f"A stride of {stride[1]}x{stride[0]} for windows of {window[1]}x{window[0]}; expected at least 1 and "
                "at most the window: no gaps."
            )
        self.network, self.window, self.stride = network, window, stride
        self.train(network.training)

    def forward(self, image: Tensor) -> Tensor:
        """(B, 3, H, W) in [0, 1] to logits of the same size, (B, K, H, W)."""
        sides = tuple(image.shape[-2:])
        height, width = (min(side, window) for side, window in zip(sides, self.window, strict=True))
        rows, columns = (window_starts(*spans) for spans in zip(sides, (height, width), self.stride, strict=True))
        total, times = None, image.new_zeros(sides, dtype=torch.float32)
        for top in rows:
            for left in columns:
                place = (..., slice(top, top + height), slice(left, left + width))
                probabilities = self.network(image[place]).float().softmax(1)
                if total is None:
                    total = probabilities.new_zeros(*probabilities.shape[:2], *sides)
                total[place] += probabilities
                times[place] += 1
        return _logarithm(total / times)


def window_starts(length: int, window: int, stride: int) -> list[int]:
    """Where windows begin so that they cover `length` pixels and none reaches beyond; `window` <= `length`."""
    starts = list(range(0, length - window, stride))
    return [*starts, length - window]


def _resized(values: Tensor, size: tuple[int, int]) -> Tensor:
    if tuple(values.shape[-2:]) == size:
        return values
    smaller = size[0] < values.shape[-2]  # without a filter, what is shrunk flickers
    return F.interpolate(values, size, mode="bilinear", align_corners=False, antialias=smaller)


def _mean_of_probabilities(logits: Iterable[Tensor]) -> Tensor:
    """Average logits that are made one at a time: several sets of full size would fill the memory."""
    total, count = None, 0
    for one in logits:
        probabilities = one.float().softmax(1)
        total, count = probabilities if total is None else total.add_(probabilities), count + 1
    return _logarithm(total / count)


def _logarithm(probabilities: Tensor) -> Tensor:
    return probabilities.clamp_min(torch.finfo(probabilities.dtype).tiny).log()
