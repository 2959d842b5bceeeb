"""VGG-19 as a judge of likeness: two images are alike if a network that knows objects sees the same in both.

Simonyan and Zisserman, ICLR 2015 (arXiv:1409.1556), as Johnson et al. (ECCV 2016, arXiv:1603.08155) and pix2pixHD (Wang
et al., CVPR 2018) use it. Parameter names are torchvision's; the weights come from whoever has them.
"""

from collections.abc import Mapping

from torch import Tensor, nn

from segment.networks.encoders.encoder import Encoder
from translate.value_range import to_unit

WIDTHS = ((64, 64), (128, 128), (256, 256, 256, 256), (512, 512, 512, 512), (512,))
"""Channels of the convolutions up to relu5_1, by resolution; a halving before each group but the first."""

LAYER_WEIGHTS = (1 / 32, 1 / 16, 1 / 8, 1 / 4, 1.0)
"""Weights of relu1_1, relu2_1, relu3_1, relu4_1 and relu5_1, as in the code of Wang et al."""


class VGG19Features(nn.Module):
    """Image (B, 3, H, W) to the outputs of relu1_1, relu2_1, relu3_1, relu4_1 and relu5_1, or the first ones; frozen.

    Args:
        weights: torchvision's `vgg19` state dict; deeper layers and the classifier are left out. None draws random
            weights, for tests.
        width: Factor on all channels, for tests.
        levels: How many outputs there are; the layers after the last one are left out.

    Raises:
        ValueError: The weights are of another network.
    """

    def __init__(self, weights: Mapping[str, Tensor] | None = None, width: float = 1.0, levels: int = 5) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        self._handed_out: list[int] = []
        channels = 3
        for group in (*WIDTHS[: levels - 1], WIDTHS[levels - 1][:1]):
            if layers:
                layers.append(nn.MaxPool2d(2))
            self._handed_out.append(len(layers) + 1)
            for wide in group:
                layers += [nn.Conv2d(channels, round(wide * width), kernel_size=3, padding=1), nn.ReLU()]
                channels = round(wide * width)
        self.features = nn.Sequential(*layers)
        if weights is not None:
            self._fill(weights)
        self.requires_grad_(False)
        self.eval()

    def _fill(self, weights: Mapping[str, Tensor]) -> None:
        own = {key: weights[key] for key in self.state_dict() if key in weights}
        try:
            self.load_state_dict(own, strict=True)
        except RuntimeError as error:
            raise ValueError(f"These are no weights of VGG-19: {' '.join(str(error).split())[:200]}") from error

    def forward(self, image: Tensor) -> list[Tensor]:
        """The maps, (B, 64, H, W) to (B, 512, H/16, W/16) where there are five."""
        maps = []
        for place, layer in enumerate(self.features):
            image = layer(image)
            if place in self._handed_out:
                maps.append(image)
        return maps


class EncoderFeatures(nn.Module):
    """Image (B, 3, H, W) in [-1, 1] to the five maps of an encoder, at 1/2 to 1/32, in the place of VGG-19's; frozen.

    For machines without VGG's weights. Not what any paper used: a loss of these maps is of another size and sees other
    things, so its weight is a matter of trying. As the encoder was taught, it gets images in its own normalisation.

    Args:
        encoder: With the weights of its training.
    """

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        self.encoder = encoder.eval().requires_grad_(False)

    def forward(self, image: Tensor) -> list[Tensor]:
        """The maps, finest first."""
        return list(self.encoder(self.encoder.normalised(to_unit(image))))


class PerceptualLoss:
    """Weighted L1 distances between what a network sees in two images: VGG-19 in pix2pixHD.

    Not a module: a method that holds one neither saves nor trains it.

    Args:
        network: Frozen, handing out as many maps as there are `LAYER_WEIGHTS`.
    """

    def __init__(self, network: nn.Module) -> None:
        self.network = network

    def __call__(self, fake: Tensor, real: Tensor) -> Tensor:
        """Scalar, unweighted.

        Args:
            fake: (B, 3, H, W) in [-1, 1]; gradients flow.
            real: Same shape and range; treated as a constant.

        Raises:
            ValueError: The shapes differ.

        Source: Wang et al., CVPR 2018 (arXiv:1711.11585), sec. 4; the layers' weights are those of their code.
            VGG-19 gets the image as it is, in [-1, 1]; ImageNet's normalisation would change what the weight of 10
            means.
        """
        if fake.shape != real.shape:
            raise ValueError(f"Images have shapes {tuple(fake.shape)} and {tuple(real.shape)}; they must be equal.")
        self._follow(fake)
        of_fake, of_real = self.network(fake), self.network(real.detach())
        distances = [
            weight * (one.float() - other.detach().float()).abs().mean()
            for weight, one, other in zip(LAYER_WEIGHTS, of_fake, of_real, strict=True)
        ]
        return sum(distances[1:], start=distances[0])

    def _follow(self, image: Tensor) -> None:
        """Bring the network to the images' device, as the method's own networks are brought by the engine."""
        if next(self.network.parameters()).device != image.device:
            self.network.to(image.device)
