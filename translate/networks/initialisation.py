"""How every network of stage one starts: small Gaussian weights and no bias.

GAN training is sensitive to its start. The value is that of Radford et al. (DCGAN, ICLR 2016, sec. 3), which all
translation methods built on it kept.
"""

from torch import nn


def draw_weights(network: nn.Module, deviation: float = 0.02) -> None:
    """Draw all convolution weights of `network` from N(0, deviation^2) and zero the biases, in place.

    Draws come from torch's global generator, so seed it for a reproducible start.
    """
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(layer.weight, mean=0.0, std=deviation)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
