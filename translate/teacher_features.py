"""What a teacher's generator puts out between its layers, for a student's to imitate, and how far they are apart.

GAN Compression (Li, Lin, Ding, Liu, Zhu, Han, CVPR 2020, arXiv:2003.08936), sec. 3.1, after Romero et al., "FitNets",
ICLR 2015: features of the student, by a learnt 1x1 convolution each, are to be those of the teacher.
"""

from collections.abc import Sequence
from itertools import chain

import torch
from torch import Tensor, nn
from torch.nn import functional

from translate.networks import ENCODING_GENERATORS

TINY = 1e-8
"""Least mean square that a distance is divided by: a teacher's layer may put out nothing."""


def imitated_layers(generator: nn.Module) -> dict[int, int]:
    """The layers of a generator that imitate or are imitated, in order, and their channels.

    Those by which CUT compares patches, but for the pixels: two on the way in, the first and a later block. Every
    generator with an encoder has as many, so that those of a student and of its teacher are pairs.

    Raises:
        ValueError: The generator has no encoder that can be asked for its features.
    """
    if not hasattr(generator, "compared_layers"):
        raise ValueError(
            f"{type(generator).__name__} has no encoder to compare features of; {', '.join(ENCODING_GENERATORS)} have."
        )
    return {layer: channels for layer, channels in generator.compared_layers().items() if layer > 0}


class TeacherFeatures:
    """A teacher's generator, asked for its features and never changed.

    Not a module: a method that holds one neither saves, trains nor averages the teacher.
    """

    def __init__(self, generator: nn.Module) -> None:
        """Put a trained generator into evaluation mode and freeze it where it is.

        Raises:
            ValueError: As of `imitated_layers`.
        """
        self._layers = imitated_layers(generator)
        self._generator = generator.eval().requires_grad_(False)

    @property
    def channels(self) -> tuple[int, ...]:
        """Of each map."""
        return tuple(self._layers.values())

    @torch.no_grad()
    def __call__(self, image: Tensor) -> list[Tensor]:
        """The features of images (B, 3, H, W) in [-1, 1], one (B, C_i, h_i, w_i) per layer; ValueError if a side does
        not suit the generator.
        """
        tensors = chain(self._generator.parameters(), self._generator.buffers())
        if any(tensor.device != image.device for tensor in tensors):
            self._generator.to(image.device)
        return self._generator.features(image, tuple(self._layers))


def feature_distance(projected: Sequence[Tensor], teachers: Sequence[Tensor]) -> Tensor:
    """Mean squared distance of a student's features from its teacher's, in units of the latter's mean square.

    Args:
        projected: One (B, C_i, h_i, w_i) per layer; gradients flow.
        teachers: One (B, C_i, H_i, W_i) per layer; treated as constants.

    Returns:
        Scalar in float32 whatever the precision of the arguments, unweighted, a mean over layers and images; 1 for
        features of 0.

    Raises:
        ValueError: The numbers of layers, images or channels differ.

    Source: Li et al., CVPR 2020, sec. 3.1, whose code sums the mean squared distances of four layers.
        Differs: each layer of each image is measured in its own units and the mean is taken, so that a weight carries
        across teachers, whose features are as large as training happened to make them, and that a batch which several
        processes share costs what it costs one; and maps of two sizes are compared at the smaller, in means, for the
        student here is no narrower copy of the teacher.
    """
    shapes = [[tuple(one.shape[:2]) for one in maps] for maps in (projected, teachers)]
    if not shapes[0] or shapes[0] != shapes[1]:
        raise ValueError(f"Features of images and channels {shapes[0]} and {shapes[1]}; they must be equal, not none.")
    return torch.stack([_distance(*pair) for pair in zip(projected, teachers, strict=True)]).mean()


def _distance(projected: Tensor, teachers: Tensor) -> Tensor:
    size = tuple(map(min, projected.shape[2:], teachers.shape[2:]))
    own, wanted = (functional.adaptive_avg_pool2d(one.float(), size) for one in (projected, teachers.detach()))
    of_images = (1, 2, 3)
    return ((own - wanted).square().mean(of_images) / wanted.square().mean(of_images).clamp(min=TINY)).mean()
