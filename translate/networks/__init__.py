"""The networks of stage one, by the names that a config uses.

A new network is a file beside this one and a line in a dict below. A generator says, as `side_multiple` and
`smallest_side`, which images it takes: the caller pads to them.
"""

from collections.abc import Callable
from functools import partial

from torch import nn

from translate.networks.patch_discriminator import PatchDiscriminator
from translate.networks.resnet_generator import ResnetGenerator

GENERATORS: dict[str, Callable[..., nn.Module]] = {
    "resnet6": partial(ResnetGenerator, blocks=6),
    "resnet9": partial(ResnetGenerator, blocks=9),
}
DISCRIMINATORS: dict[str, Callable[..., nn.Module]] = {
    "patch": PatchDiscriminator,
}


def chosen(networks: dict[str, Callable[..., nn.Module]], name: str) -> Callable[..., nn.Module]:
    """The constructor called `name` in GENERATORS or DISCRIMINATORS; ValueError with the valid names otherwise."""
    if name not in networks:
        raise ValueError(f"There is no network {name!r}; the valid names are {', '.join(sorted(networks))}.")
    return networks[name]
