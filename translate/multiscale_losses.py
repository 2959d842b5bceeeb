"""pix2pixHD's losses on what discriminators at several scales see and say.

Each takes lists of scales, each a list of layers with the judgement last, as `MultiscaleDiscriminator` returns them.
Scalars in float32, whatever the precision of their arguments.
"""

import torch
from torch import Tensor

from translate.losses import least_squares_gan


def adversarial_loss(judged_fake: list[list[Tensor]]) -> Tensor:
    """What the generator pays for being recognised: least squares, summed over scales."""
    return _summed([least_squares_gan(layers[-1], real=True) for layers in judged_fake])


def discriminator_loss(judged_real: list[list[Tensor]], judged_fake: list[list[Tensor]]) -> Tensor:
    """Half of both least-squares terms, summed over scales."""
    real = [least_squares_gan(layers[-1], real=True) for layers in judged_real]
    fake = [least_squares_gan(layers[-1], real=False) for layers in judged_fake]
    return 0.5 * _summed(real + fake)


def feature_matching(judged_fake: list[list[Tensor]], judged_real: list[list[Tensor]]) -> Tensor:
    """Mean L1 distance between what the discriminators see in fake and real images, times 4.

    Args:
        judged_fake: Gradients flow. The judgement itself, last in each list, is left out.
        judged_real: Of the same shapes; treated as constants.

    Returns:
        Scalar, unweighted: 1/scales times 4/layers times the sum over scales and layers.

    Raises:
        ValueError: The lists differ in length.

    Source: Wang et al., CVPR 2018 (arXiv:1711.11585), eq. 4.
        Differs, as does their code: the mean over layers is taken times 4, the number of layers at the usual depth.
    """
    distances, layers = [], 1
    for fake, real in zip(judged_fake, judged_real, strict=True):
        layers = len(fake) - 1
        distances += [(one.float() - other.detach().float()).abs().mean() for one, other in _matched(fake, real)]
    return _summed(distances) * 4 / (layers * len(judged_fake))


def _matched(fake: list[Tensor], real: list[Tensor]) -> list[tuple[Tensor, Tensor]]:
    return list(zip(fake, real, strict=True))[:-1]


def _summed(terms: list[Tensor]) -> Tensor:
    return torch.stack(terms).sum()
