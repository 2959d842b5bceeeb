"""Weights of an encoder that was trained elsewhere, mostly on ImageNet, to start a segmenter from; when asked for.

They come from a file, from an installed package, or from the cache in which torchvision keeps what it has downloaded.
Nothing is downloaded here: a run on a machine without a network must not differ from the same run on one with.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torchvision import models

from pipelines.data.disk.files import open_regular, sha256_of
from pipelines.errors import CheckpointError, UserError
from pipelines.experiment.segmenters import PACKAGE, TORCHVISION
from pipelines.pretrained.inputs import NetworkInput
from pipelines.pretrained.packaged_encoders import PACKAGES, packaged_file
from pipelines.pretrained.read_published import read_published
from segment.networks.deeplabv2 import with_our_input
from segment.networks.encoders.efficientnet_lite import EfficientNetLiteClassifier
from segment.networks.encoders.weights import COUNTER, EncoderMatch, match_encoder, unwrapped
from segment.networks.segmenter import IMAGENET_MEAN, IMAGENET_STD, Segmenter


@dataclass(frozen=True)
class Published:
    """An encoder that torchvision has weights for."""

    build: Callable[..., nn.Module]
    url: str
    classifier: str
    """How the names of its classifier of ImageNet begin, which no segmenter has a place for."""

    @property
    def file(self) -> Path:
        """Where torchvision keeps it once it is downloaded."""
        return Path(torch.hub.get_dir()) / "checkpoints" / self.url.rpartition("/")[2]


MOST_MISSING = 0.1
"""Share of an encoder's tensors that a file may lack. ResNet-50's lacks 19 % of ResNet-18's, whose names it has."""
ENCODERS = {
    "resnet18": Published(models.resnet18, models.ResNet18_Weights.IMAGENET1K_V1.url, "fc."),
    "resnet50": Published(models.resnet50, models.ResNet50_Weights.IMAGENET1K_V1.url, "fc."),
    "resnet101": Published(models.resnet101, models.ResNet101_Weights.IMAGENET1K_V1.url, "fc."),
    "mobilenet_v3_large": Published(
        models.mobilenet_v3_large, models.MobileNet_V3_Large_Weights.IMAGENET1K_V1.url, "classifier."
    ),
}
"""The first weights that torchvision published of each, which its own segmenters start from too."""


def load_encoder(network: Segmenter, source: str) -> str:
    """Fill the encoder of `network` with weights that were trained elsewhere; all else stays as it is.

    Args:
        network: On any device.
        source: Path of a file, .safetensors or a state dict of torch.save, which is unpickled where it can do no harm;
            "torchvision" for that library's ImageNet weights of this encoder, from its cache; or "package" for those
            that an installed package carries.

    Returns:
        One line for the run's record: the file, its hash, and how many tensors were loaded, missing and unexpected.

    Raises:
        UserError: The file or package is not there, or cannot be read safely.
        CheckpointError: Not one of its tensors fits, it lacks more than a tenth of the encoder's, or has whole blocks
            that the encoder has not: it is another's.
    """
    files = {TORCHVISION: torchvision_file, PACKAGE: package_file}
    path = files[source](network) if source in files else Path(source)
    weights = read_weights(path)
    taken = f"taken for {_input(network)}"
    if _is_blue_first(weights):
        weights = with_our_input(_plain(weights))
        taken = "made for blue-first input in 0..255, rewritten for ours"
    try:
        match = match_encoder(network, weights)
    except ValueError as error:
        raise CheckpointError(
            f"{path}: {error} ({type(network).__name__}); give a file of weights of that encoder"
        ) from error
    share = len(match.missing) / (len(match.missing) + len(match.loaded))
    if share > MOST_MISSING:
        raise CheckpointError(
            f"{path} fits only in part: {share:.0%} of the tensors of the encoder of {type(network).__name__} are not "
            f"in it (first {match.missing[0]}); give a file of weights of that encoder"
        )
    if blocks := further_blocks(match, weights):
        raise CheckpointError(
            f"{path} is of a deeper encoder: it holds {len(blocks)} whole blocks ({blocks[0]} to {blocks[-1]}) that "
            f"the encoder of {type(network).__name__} has not; give a file of weights of that encoder"
        )
    network.load_state_dict(match.loaded, strict=False)
    return f"encoder starts from {path.name} (sha256 {sha256_of(path)}): {_counts(match)}; {taken}"


def further_blocks(match: EncoderMatch, weights: Mapping[str, Tensor]) -> list[str]:
    """Blocks of a file that continue a row of the network's, as ResNet-101's layer3.6 continues ResNet-50's layer3.

    Args:
        match: What became of the tensors.
        weights: All that the file holds.

    Returns:
        The blocks of which nothing was loaded and nothing is missing in the network, in their order.
    """
    unexpected = set(match.unexpected)
    own = _blocks(key for key in weights if key not in unexpected and not key.endswith(COUNTER))
    rows = {block.rpartition(".")[0] for block in own}
    further = set()
    for block in _blocks(unexpected) - own:
        row, _, number = block.rpartition(".")
        ours = f"{row.rpartition('.')[2]}.{number}."  # the network may have the row under another part
        if row in rows and not any(ours in place for place in match.missing):
            further.add(block)
    return sorted(further, key=lambda block: re.sub(r"\d+", lambda number: number[0].zfill(6), block))


def _blocks(keys: Iterable[str]) -> set[str]:
    """What is numbered: of "layer3.6.downsample.0.weight", layer3.6 and layer3.6.downsample.0."""
    return {key[: number.end()] for key in keys for number in re.finditer(r"(?:^|\.)\d+(?=\.)", key)}


def torchvision_file(network: Segmenter) -> Path:
    """The file in torchvision's cache that holds ImageNet weights of the network's encoder.

    Raises:
        UserError: torchvision has no such encoder, or the file is not there; the message names it and its address.
    """
    name = torchvision_encoder(network)
    if name is None:
        raise UserError(
            f"encoder_weights is {TORCHVISION!r}, which has none for {type(network).__name__}, only for networks with "
            f"{', '.join(ENCODERS)}; give the path of a file, or leave encoder_weights out"
        )
    published = ENCODERS[name]
    if not published.file.is_file():
        raise UserError(
            f"{published.file} is not there, and nothing is downloaded; get it from {published.url} and put it there, "
            "or give its path as encoder_weights"
        )
    return published.file


def torchvision_encoder(network: Segmenter) -> str | None:
    """Key of ENCODERS: the one of which everything but the classifier fits into the network; None if there is none."""
    for name, published in ENCODERS.items():
        with torch.device("meta"):
            weights = published.build(weights=None).state_dict()
        if _fits(network, weights, published.classifier):
            return name
    return None


def package_file(network: Segmenter) -> Path:
    """The file of ImageNet weights of the network's encoder that a package brought along.

    Raises:
        UserError: No package carries such an encoder, or it is not installed.
        CheckpointError: Its file is damaged.
    """
    name = packaged_encoder(network)
    if name is None:
        raise UserError(
            f"encoder_weights is {PACKAGE!r}, and no package has any for {type(network).__name__}, only for networks "
            f"with {', '.join(PACKAGES)}; give the path of a file, or leave encoder_weights out"
        )
    return packaged_file(name)


def packaged_encoder(network: Segmenter) -> str | None:
    """Key of PACKAGES: the one of which everything but the head fits into the network; None if there is none."""
    for name, package in PACKAGES.items():
        with torch.device("meta"):
            weights = EfficientNetLiteClassifier(package.variant).state_dict()
        if _fits(network, weights, package.head):
            return name
    return None


def _fits(network: Segmenter, weights: Mapping[str, Tensor], classifier: str | tuple[str, ...]) -> bool:
    """Whether the network's encoder is filled by everything but what belongs to the classifier."""
    try:
        match = match_encoder(network, weights)
    except ValueError:
        return False
    return not match.missing and all(key.startswith(classifier) for key in match.unexpected)


def _input(network: Segmenter) -> str:
    """What the network is given of an image, in the words of a run's record."""
    mean, std = (values.flatten().cpu() for values in (network.image_mean, network.image_std))
    if torch.allclose(mean, torch.tensor(IMAGENET_MEAN)) and torch.allclose(std, torch.tensor(IMAGENET_STD)):
        return "red-first input by ImageNet's statistics"
    return str(NetworkInput(tuple((255 * mean).tolist()), tuple((255 * std).tolist()), 255))


def read_weights(path: Path) -> Mapping[str, Tensor]:
    """The state dict in a file, whichever way it was saved.

    Raises:
        CheckpointError: Not there, unsafe, damaged, or of several networks; one line that names the file.
    """
    try:
        open_regular(path).close()
    except OSError as error:
        why = error.strerror or error
        raise CheckpointError(
            f"{path}: {why}; expected a file of an encoder's weights, .pth or .safetensors"
        ) from error
    networks = read_published(path)
    for name in ("", "state_dict", "model"):
        if name in networks:
            return networks[name]
    if len(networks) > 1:
        raise CheckpointError(
            f"{path} holds {len(networks)} networks ({', '.join(sorted(networks))[:100]}); expected one"
        )
    return next(iter(networks.values()))


def _is_blue_first(weights: Mapping[str, Tensor]) -> bool:
    """Whether names are those of AdaptSegNet's files, all of which were made for Caffe's input."""
    stem = _plain(weights).get("conv1.weight")
    theirs = any(key.startswith("Scale.") or ".conv2d_list." in key for key in weights)
    return theirs and stem is not None and stem.ndim == 4 and stem.shape[1] == 3


def _plain(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights under the names that AdaptSegNet's network has."""
    return {unwrapped(key).removeprefix("Scale."): value for key, value in weights.items()}


def _counts(match: EncoderMatch) -> str:
    """ "624 tensors loaded, 0 missing, 2 unexpected (first fc.weight)"."""
    parts = [f"{len(match.loaded)} tensors loaded"]
    for word, names in (("missing", match.missing), ("unexpected", match.unexpected)):
        parts.append(f"{len(names)} {word}" + (f" (first {names[0]})" if names else ""))
    return ", ".join(parts)
