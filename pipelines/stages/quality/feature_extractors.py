"""The networks behind KID and FID, from files at hand: nothing is fetched from a model hub.

A distance over one network's features says nothing beside one over another's, so an extractor's name holds the network
and the hash of its weights; or the network alone, where a package carries the one file that there is.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from pipelines.data.disk.files import sha256_of
from pipelines.engine.launch import Machine
from pipelines.errors import CheckpointError
from pipelines.pretrained.packaged_encoders import REQUIRED, packaged_classifier
from pipelines.pretrained.read_published import read_published
from pipelines.runtimes.frame_prediction import as_seen
from pipelines.stages.quality.translated_pairs import Expert
from translate.quality.features import InceptionFeatures, PooledEncoder, PooledStage

PACKAGED_HEIGHT = 224
"""At which the packaged encoder sees every image, the width following: what its weights were trained at. One height for
all, lower images enlarged: at another it sees other things, and figures of two experiments would not compare."""


@dataclass(frozen=True)
class Extractor:
    """Features of one image: uint8 (H, W, 3) to float32 (D,) on the CPU."""

    name: str
    extract: Callable[[np.ndarray], torch.Tensor]


def segmenter_extractor(expert: Expert, machine: Machine) -> Extractor:
    """The pooled deepest stage of one of our segmenters, at the height that it was trained at."""
    features = PooledStage(expert.network, expert.network.encoder)

    def extract(image: np.ndarray) -> torch.Tensor:
        with machine.autocast():
            return features(as_seen(image, expert.height, machine.device))[0].cpu()

    return Extractor(expert.name, extract)


def packaged_extractor(machine: Machine) -> Extractor:
    """The pooled deepest map, 320 numbers, of EfficientNet-Lite0 as ImageNet taught it; in float32 on every machine.

    It has seen no frame of any experiment, so its distances compare between experiments, and with one another only:
    published FIDs are those of an Inception network.

    Raises:
        UserError: The package with its weights is not installed.
        CheckpointError: Their file is damaged.
    """
    features = PooledEncoder(packaged_classifier(REQUIRED)).to(machine.device)

    def extract(image: np.ndarray) -> torch.Tensor:
        return features(as_seen(image, PACKAGED_HEIGHT, machine.device))[0].cpu()

    return Extractor(REQUIRED, extract)


def inception_extractor(path: Path, machine: Machine) -> Extractor:
    """torchvision's Inception v3 from its state dict (`inception_v3_google-0cc3c7bd.pth`), in float32.

    Raises:
        CheckpointError: The file is missing, unsafe to read, or holds something else.
    """
    state = read_published(path).get("", {})
    try:
        features = InceptionFeatures(state).to(machine.device)
    except RuntimeError as error:
        raise CheckpointError(
            f"--inception {path}: expected the state dict of torchvision's inception_v3 ({str(error)[:200]})"
        ) from error

    def extract(image: np.ndarray) -> torch.Tensor:
        return features(as_seen(image, len(image), machine.device))[0].cpu()

    return Extractor(f"inception_v3@{sha256_of(path)[:8]}", extract)
