"""Contrast between patches: a place in a translated image should tell which place of the original it came from.

Park, Efros, Zhang, Zhu, "Contrastive Learning for Unpaired Image-to-Image Translation", ECCV 2020 (arXiv:2007.15651).
The other locations of the same image are what it must not be mistaken for; no second image, no second generator.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional


def draw_locations(features: Sequence[Tensor], patches: int) -> list[Tensor]:
    """Random locations in each feature map, none of them twice; draws use torch's global CPU generator.

    Args:
        features: (B, C_i, H_i, W_i) maps.
        patches: Places wanted; a map of fewer has them all.

    Returns:
        For each map int64 (P_i,), indices into its H_i * W_i locations, on its device.
    """
    return [torch.randperm(one.shape[-2] * one.shape[-1])[:patches].to(one.device) for one in features]


def patch_contrast(queries: Tensor, keys: Tensor, temperature: float = 0.07) -> Tensor:
    """Cross-entropy of recognising, for each patch of the translated image, its place among the original's patches.

    Args:
        queries: (B, P, C) unit vectors of the translated images' patches; gradients flow.
        keys: (B, P, C) unit vectors of the originals at the same locations; treated as constants.
        temperature: Divides the cosines; smaller asks for more certainty.

    Returns:
        Scalar in float32 whatever the precision of the arguments, unweighted; log P where nothing can be told apart.

    Raises:
        ValueError: The shapes differ.

    Source: Park et al., ECCV 2020, eq. 3 and 4; negatives are the other patches of the same image.
    """
    if queries.shape != keys.shape or queries.ndim != 3:
        raise ValueError(
            f"Queries have shape {tuple(queries.shape)}, keys {tuple(keys.shape)}; both must be one (B, P, C)."
        )
    images, patches, _ = queries.shape
    # Cosines over 0.07 in bfloat16 would be off by up to 0.06, as much as training gains in thousands of steps.
    with torch.autocast(queries.device.type, enabled=False):
        similarity = queries.float() @ keys.detach().float().mT / temperature  # (B, P queries, P keys)
    own_location = torch.arange(patches, device=queries.device).expand(images, patches)
    return functional.cross_entropy(similarity.flatten(0, 1), own_location.flatten())
