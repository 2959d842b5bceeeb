"""Frozen encoders whose features tell what an image shows and, by their statistics, how it looks.

Trained by others to tell the objects of photos; what translates by them learns only the way back to an image.
"""

from collections.abc import Callable, Mapping
from typing import Self

from torch import Tensor, nn

from segment.networks.encoders.efficientnet_lite import EfficientNetLite
from segment.networks.segmenter import IMAGENET_MEAN, IMAGENET_STD
from translate.networks.features.perceptual import VGG19Features
from translate.value_range import to_signed

Weights = Mapping[str, Tensor]


class StyleEncoder(nn.Module):
    """Image (B, 3, H, W) in [-1, 1] to features at several resolutions, finest first; always in evaluation mode.

    Args:
        network: What is given the image, normalised, and hands out as many maps; frozen here.
        channels: Of each map.
        halvings: How often each map's resolution is half of the image's, ascending.
        mean: Of red, green and blue in [0, 1], that the network was trained with.
        std: As `mean`.
    """

    def __init__(
        self,
        network: nn.Module,
        channels: tuple[int, ...],
        halvings: tuple[int, ...],
        mean: tuple[float, float, float] = IMAGENET_MEAN,
        std: tuple[float, float, float] = IMAGENET_STD,
    ) -> None:
        super().__init__()
        self.network = network.requires_grad_(False)
        self.channels, self.halvings = channels, halvings
        self.mean, self.std = mean, std
        self.eval()

    def train(self, mode: bool = True) -> Self:
        """Stay in evaluation mode, whatever the method around it does."""
        return super().train(False)

    def forward(self, image: Tensor) -> list[Tensor]:
        """One (B, channels[i], H / 2^halvings[i], W / 2^halvings[i]) for each map."""
        # In one step from [-1, 1]: (image / 2 + 1 / 2 - mean) / std.
        mean = to_signed(image.new_tensor(self.mean)).view(1, 3, 1, 1)
        return list(self.network((image - mean) / (2 * image.new_tensor(self.std).view(1, 3, 1, 1))))


def vgg19(weights: Weights | None = None) -> StyleEncoder:
    """VGG-19 up to relu4_1, which the paper takes: relu1_1, relu2_1, relu3_1 and relu4_1, 3.5 M parameters.

    Args:
        weights: torchvision's `vgg19` state dict; None draws them at random.

    Raises:
        ValueError: The weights are of another network.

    Source: Huang and Belongie, ICCV 2017, sec. 6. Differs: the weights are torchvision's, for an image normalised by
        ImageNet's statistics, where theirs are rescaled to a mean activation of 1; and beyond the borders are zeros, as
        these weights were trained, where theirs see a mirror.
    """
    network = VGG19Features(weights, levels=4)
    if weights is None:
        draw(network)
    return StyleEncoder(network, (64, 128, 256, 512), (0, 1, 2, 3))


def efficientnet_lite0(weights: Weights | None = None) -> StyleEncoder:
    """EfficientNet-Lite0 as far as its map at an eighth, with those at a half and a quarter: 0.06 M parameters.

    For machines without weights of VGG-19: those of this one come with a package. Its maps are narrow (16, 24 and 40
    channels), too few to redraw an image from the last one alone: it wants `skip_connections`.

    Args:
        weights: The published state dict, the classifier's layers or not among them; None draws them at random.

    Raises:
        ValueError: The weights are of another network.

    Source: Tan and Le, ICML 2019 (arXiv:1905.11946); see `segment.networks.encoders.efficientnet_lite`.
    """
    network = EfficientNetLite(0)
    network._blocks = network._blocks[: network.last_blocks[2] + 1]
    if weights is None:
        draw(network)
    else:
        own = {key: weights[key] for key in network.state_dict() if key in weights}
        try:
            network.load_state_dict(own, strict=True)
        except RuntimeError as error:
            raise ValueError(
                f"These are no weights of EfficientNet-Lite0: {' '.join(str(error).split())[:200]}"
            ) from error
    return StyleEncoder(network, network.channels[:3], (1, 2, 3), network.mean, network.std)


def draw(network: nn.Module) -> None:
    """Random weights that features keep their size by (He et al., ICCV 2015), unlike torch's own."""
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight)


ENCODERS: dict[str, Callable[[Weights | None], StyleEncoder]] = {
    "vgg19": vgg19,
    "efficientnet_lite0": efficientnet_lite0,
}
"""By the names that a config uses."""
