"""A discriminator of features: which class are they of, and from which domain?

ASS, Wang et al., CVPR Workshops 2020 (arXiv:2004.00794): two layers, fully connected for the features of
whole classes and of 1x1 convolutions for maps of features, which is the same layer at each place.
"""

from torch import nn


class SemanticDiscriminator(nn.Sequential):
    """Features (B, C, h, w) to logits (B, 2K, h, w): of the K classes of the source, then of those of the target.

    Args:
        features: C.
        classes: K.
        channels: Between both layers.
    """

    def __init__(self, features: int, classes: int, channels: int = 1024) -> None:
        super().__init__(
            nn.Conv2d(features, channels, 1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(channels, 2 * classes, 1),
        )
