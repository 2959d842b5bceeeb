"""Keep what an encoder saw of rare things before it learnt from rendered frames.

ImageNet's photographs show persons, bicycles and buses; a network that learns from renderings forgets how these look.
Hoyer, Dai, Van Gool, DAFormer, CVPR 2022 (arXiv:2111.14887), sec. 3.3.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

THINGS: tuple[int, ...] = (6, 7, 11, 12, 13, 14, 15, 16, 17, 18)
"""Train ids of what ImageNet has photographs of: lights, signs, people, vehicles; as in DAFormer's code."""


def locations_of_things(label_map: Tensor, size: tuple[int, int], least_share: float) -> Tensor:
    """Where in a map of features one thing covers most of what a feature stands for.

    Args:
        label_map: int64 (B, H, W) train ids, of the padded image; 255 = ignore, which counts for no class.
        size: Height and width of the map of features.
        least_share: Share of the pixels under a feature, in [0, 1], that must be of the same thing.

    Returns:
        bool (B, h, w).

    Source: DAFormer, eq. 7. Each thing's share is an average over the pixels under a feature; where the sizes do not
        divide, over those that it touches.
    """
    one_hot = torch.stack([label_map == thing for thing in THINGS], dim=1)  # (B, things, H, W)
    shares = F.adaptive_avg_pool2d(one_hot.float(), size)
    return (shares >= max(least_share, torch.finfo(torch.float32).tiny)).any(dim=1)


def feature_distance(features: Tensor, imagenet: Tensor, locations: Tensor) -> Tensor:
    """Mean Euclidean distance of features to those of ImageNet's encoder, over the locations that count.

    Args:
        features: (B, C, h, w); gradients flow.
        imagenet: Of the same shape; constants.
        locations: bool (B, h, w).

    Returns:
        Scalar; zero, with gradients of zero, where no place counts.

    Source: DAFormer, eq. 6 and 8.
    """
    distance = torch.linalg.vector_norm(features.float() - imagenet.float(), dim=1)
    return (distance * locations).sum() / locations.sum().clamp(min=1)
