"""The networks of stage one, by the names that a config uses.

A new network is a file in `generators` or `discriminators` and a line in a dict below. A generator says, as
`side_multiple` and `smallest_side`, which images it takes: the caller pads to them.
"""

from collections.abc import Callable
from functools import partial

from torch import nn

from translate.networks.discriminators.crop import CropDiscriminator
from translate.networks.discriminators.patch import PatchDiscriminator
from translate.networks.discriminators.pixel import PixelDiscriminator
from translate.networks.generators.pyramid import PyramidGenerator
from translate.networks.generators.resnet import ResnetGenerator
from translate.networks.generators.unet import UnetGenerator
from translate.networks.generators.unet_light import UnetLightGenerator

ENCODING_GENERATORS: dict[str, Callable[..., nn.Module]] = {
    "resnet6": partial(ResnetGenerator, blocks=6),
    "resnet9": partial(ResnetGenerator, blocks=9),
    "unet_light": UnetLightGenerator,
    "pyramid": PyramidGenerator,
}
"""Generators with an encoder that can be asked for its features, as CUT does: by `compared_layers`, `features` and
`with_features`. The last two are light enough for live frames."""
GENERATORS: dict[str, Callable[..., nn.Module]] = {
    **ENCODING_GENERATORS,
    "unet128": partial(UnetGenerator, halvings=7),
    "unet256": partial(UnetGenerator, halvings=8),
}
DISCRIMINATORS: dict[str, Callable[..., nn.Module]] = {
    "patch": PatchDiscriminator,
    "pixel": PixelDiscriminator,
    "crop": CropDiscriminator,
}
