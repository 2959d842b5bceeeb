"""Feature extractors for KID and FID: any network's pooled activations, one vector for each image.

Distances of different extractors have nothing to do with one another, so each one's name goes into the figure's name.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from segment.networks.encoders.encoder import Encoder
from translate.value_range import to_signed

INCEPTION_SIDE = 299
"""Pixels of the square that Inception v3 was trained on."""


class PooledStage(nn.Module):
    """The globally averaged activations of one stage of a network.

    Args:
        network: Takes images in [0, 1]; used in evaluation mode.
        stage: Dotted name of the submodule whose output (B, D, h, w) is pooled.
    """

    def __init__(self, network: nn.Module, stage: str) -> None:
        super().__init__()
        network.get_submodule(stage)  # refuses an unknown one at once
        self.network, self.stage = network.eval(), stage

    @torch.no_grad()
    def forward(self, image: Tensor) -> Tensor:
        """(B, 3, H, W) in [0, 1] to (B, D) float32."""
        seen: list[Tensor] = []
        stage = self.network.get_submodule(self.stage)
        with stage.register_forward_hook(lambda _, inputs, output: seen.append(output)):
            self.network(image)
        return seen[-1].float().mean((2, 3))


class PooledEncoder(nn.Module):
    """The globally averaged deepest map of an encoder, in float32 whatever surrounds it.

    Args:
        encoder: Used in evaluation mode.
    """

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        self.encoder = encoder.eval()

    @torch.no_grad()
    def forward(self, image: Tensor) -> Tensor:
        """(B, 3, H, W) in [0, 1] to (B, D) float32, D channels of the map at 1/32."""
        with torch.autocast(image.device.type, enabled=False):
            return self.encoder(self.encoder.normalised(image.float()))[-1].mean((2, 3))


class InceptionFeatures(nn.Module):
    """The 2048 pooled features of torchvision's Inception v3.

    These are not the weights with which published FIDs were computed (a TensorFlow network of 2015): figures compare
    with one another, and not with a paper's.

    Args:
        state: torchvision's state dict; the classifier and the auxiliary head are not needed.

    Raises:
        RuntimeError: Tensors are missing or of other shapes; as `load_state_dict` says it.

    Source: Szegedy et al., CVPR 2016 (arXiv:1512.00567).
    """

    def __init__(self, state: Mapping[str, Tensor]) -> None:
        super().__init__()
        from torchvision.models import inception_v3  # seconds to import, for the few who have the file

        network = inception_v3(weights=None, aux_logits=False, transform_input=False, init_weights=False)
        network.fc = nn.Identity()
        needed = {name: value for name, value in state.items() if not name.startswith(("AuxLogits.", "fc."))}
        network.load_state_dict(needed)
        self.network = network.eval()

    @torch.no_grad()
    def forward(self, image: Tensor) -> Tensor:
        """(B, 3, H, W) in [0, 1], any size, to (B, 2048) float32. Shrinking is anti-aliased."""
        side = (INCEPTION_SIDE, INCEPTION_SIDE)
        square = F.interpolate(image, side, mode="bilinear", align_corners=False, antialias=True)
        return self.network(to_signed(square)).float()
