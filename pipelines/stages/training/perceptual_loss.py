"""What judges the likeness of two images in training: a network that others have trained on photographs.

No paper's VGG-19 comes with a package, and nothing is downloaded, so a run notes which weights it found, or that it
found none, and goes on with the same.
"""

import sys
from pathlib import Path

import torch

from pipelines.data.disk.files import sha256_of
from pipelines.engine.processes import ALONE, Processes
from pipelines.errors import UserError
from pipelines.experiment.segmenters import PACKAGE
from pipelines.experiment.translators import Pix2pixHDSettings, StudentSettings
from pipelines.pretrained.packaged_encoders import REQUIRED, packaged_classifier
from pipelines.stages.training.training_run import note, noted
from translate.networks.features.perceptual import EncoderFeatures, PerceptualLoss, VGG19Features

Judged = Pix2pixHDSettings | StudentSettings
"""Settings of the methods that may have such a loss."""
VGG_FILE = "vgg19-dcbb9e9d.pth"
"""What torchvision calls the weights of `vgg19` in its cache."""


def perceptual_loss(settings: Judged, run: Path, processes: Processes = ALONE) -> PerceptualLoss | None:
    """The loss if the settings want it and its weights are on this machine; nothing is ever downloaded.

    The first time, the run folder notes which weights these are, or that there are none, and says so; likewise where
    the settings take the packaged encoder.

    Raises:
        UserError: The settings name a file that is not there or holds other weights, or a package that is not
            installed; or the run was begun with other weights than are found now, or other processes find others.
    """
    if settings.perceptual_weight == 0:
        return None
    if settings.perceptual_weights == PACKAGE:
        if processes.leads and note(run, "perceptual_loss", REQUIRED):
            print(f"perceptual loss: {_of_package(settings)}", file=sys.stderr)
        return PerceptualLoss(EncoderFeatures(packaged_classifier(REQUIRED)))
    path = vgg_weights(settings)
    weights = None if path is None else sha256_of(path)
    processes.refuse_difference(["VGG-19", weights])
    if path is None:
        expected = torch_cache() / VGG_FILE
        if processes.leads and note(run, "perceptual_loss", None):
            print(
                f"no VGG-19 weights in {expected}: the perceptual loss is off. Put torchvision's file there, or name "
                f'it in translator.perceptual_weights, or set that to "{PACKAGE}" for {REQUIRED} instead',
                file=sys.stderr,
            )
        return None
    if processes.leads:
        note(run, "perceptual_loss", weights)
    try:
        return PerceptualLoss(VGG19Features(torch.load(path, map_location="cpu", weights_only=True)))
    except Exception as error:  # torch.load raises whatever the unpickler meets in a file of another kind
        raise UserError(f"{path} holds no weights of VGG-19 ({' '.join(str(error).split())[:200]})") from error


def perceptual_loss_in_words(settings: Judged, run: Path) -> str:
    """A sentence for a report on what judged the likeness of a trained run's images; empty where it was VGG-19, or was
    not to be there.
    """
    judge = noted(run, "perceptual_loss")
    if settings.perceptual_weight == 0 or judge not in (None, REQUIRED):
        return ""
    return (
        f"Perceptual loss: {_of_package(settings)}."
        if judge
        else "No perceptual loss: VGG-19's weights were not there."
    )


def _of_package(settings: Judged) -> str:
    """The packaged encoder as a judge; what it is not, where a paper has another."""
    if isinstance(settings, StudentSettings):
        return f"{REQUIRED} with ImageNet's weights"
    return f"{REQUIRED} with ImageNet's weights instead of VGG-19, so this is not pix2pixHD's published loss"


def vgg_weights(settings: Judged) -> Path | None:
    """The file of the settings, else torchvision's in torch's cache; None if there is none."""
    if settings.perceptual_weights:
        path = Path(settings.perceptual_weights)
        if not path.is_file():
            raise UserError(
                f'translator.perceptual_weights: {path} does not exist; set it to "" to look in {torch_cache()}, or '
                "set translator.perceptual_weight=0"
            )
        return path
    cached = torch_cache() / VGG_FILE
    return cached if cached.is_file() else None


def torch_cache() -> Path:
    """Where torch keeps downloaded weights."""
    return Path(torch.hub.get_dir()) / "checkpoints"
