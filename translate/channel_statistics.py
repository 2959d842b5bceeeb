"""Style as the mean and the deviation of every channel of an image's features, and losses that hold images to it.

Huang and Belongie, "Arbitrary Style Transfer in Real-time with Adaptive Instance Normalization", ICCV 2017
(arXiv:1703.06868): what is in an image is in the places of its features, how it looks in their statistics.
"""

from collections.abc import Sequence

from torch import Tensor

EPSILON = 1e-5
"""Added to variances, as instance normalisation has it."""

Statistics = tuple[Tensor, Tensor]
"""Means and deviations of features, (B, C) each, float32."""


def channel_statistics(features: Tensor) -> Statistics:
    """Mean and deviation of every channel over an image's places.

    Args:
        features: (B, C, H, W); gradients flow.

    Source: Huang and Belongie, ICCV 2017, eq. 5 to 7, with the variance over all places and not one less.
    """
    places = features.float().flatten(2)
    mean = places.mean(2)
    variance = (places - mean[..., None]).square().mean(2)
    return mean, (variance + EPSILON).sqrt()


def content_loss(features: Tensor, wanted: Tensor) -> Tensor:
    """Mean squared distance of an image's features from those that it was made of; unweighted, float32.

    Args:
        features: (B, C, H, W); gradients flow.
        wanted: Same shape; treated as a constant.

    Source: Huang and Belongie, ICCV 2017, eq. 12, as their code has it: the mean of squares instead of their norm.
    """
    return (features.float() - wanted.detach().float()).square().mean()


def style_loss(features: Sequence[Tensor], styles: Sequence[Statistics]) -> Tensor:
    """Mean squared distances of means and of deviations, summed over the layers; unweighted, float32.

    Args:
        features: One (B, C_i, H_i, W_i) for each layer; gradients flow.
        styles: Statistics (B, C_i) of each layer of the images whose look is wanted; treated as constants.

    Raises:
        ValueError: The lists differ in length.

    Source: Huang and Belongie, ICCV 2017, eq. 13, as their code has it: means of squares instead of norms.
    """
    terms = [
        (own - wanted.detach()).square().mean()
        for layer, style in zip(features, styles, strict=True)
        for own, wanted in zip(channel_statistics(layer), style, strict=True)
    ]
    return sum(terms[1:], start=terms[0])
