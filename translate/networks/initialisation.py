"""How every network of stage one starts: small weights and, but for pix2pixHD's, no bias.

GAN training is sensitive to its start. The default is that of Radford et al. (DCGAN, ICLR 2016, sec. 3), which all
translation methods built on it kept; the others are the choices of the authors' published code.
"""

from collections.abc import Callable

from torch import Tensor, nn

GAIN = 0.02
"""Deviation of the Gaussian, gain of the others."""

INITIALISATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "normal": lambda weight: nn.init.normal_(weight, mean=0.0, std=GAIN),
    "xavier": lambda weight: nn.init.xavier_normal_(weight, gain=GAIN),
    "kaiming": lambda weight: nn.init.kaiming_normal_(weight, a=0.0, mode="fan_in"),
    "orthogonal": lambda weight: nn.init.orthogonal_(weight, gain=GAIN),
}
"""By the names that a config uses: N(0, 0.02^2); Glorot and Bengio, AISTATS 2010; He et al., ICCV 2015; Saxe et al.,
ICLR 2014.
"""


def draw_weights(network: nn.Module, initialisation: str = "normal") -> None:
    """Draw all convolution weights of `network`, zero the biases, and centre batch norms' scales on 1, in place.

    Draws come from torch's global generator, so seed it for a reproducible start.

    Raises:
        ValueError: No initialisation has this name.
    """
    if initialisation not in INITIALISATIONS:
        raise ValueError(
            f"There is no initialisation {initialisation!r}; the valid ones are {', '.join(INITIALISATIONS)}."
        )
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            INITIALISATIONS[initialisation](layer.weight)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
        elif isinstance(layer, nn.BatchNorm2d):
            nn.init.normal_(layer.weight, mean=1.0, std=GAIN)
            nn.init.zeros_(layer.bias)


def draw_convolutions(network: nn.Module) -> None:
    """Draw all convolution weights of `network` from N(0, 0.02^2), in place, as pix2pixHD's code has it: biases keep
    torch's own start. Draws come from torch's global generator.
    """
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            INITIALISATIONS["normal"](layer.weight)
