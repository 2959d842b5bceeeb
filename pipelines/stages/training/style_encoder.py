"""The encoder that AdaIN sees content and style by, filled with the weights that others have trained.

Which weights a run was begun with is in its `notes.json`, so that it goes on with the same; they are also part of its
checkpoints, so that whoever translates needs no other file.
"""

from pathlib import Path

from pipelines.data.disk.files import sha256_of
from pipelines.engine.checkpoint_files import is_finished
from pipelines.engine.processes import ALONE, Processes
from pipelines.errors import CheckpointError, UserError
from pipelines.experiment.translators import AdaINSettings
from pipelines.experiment.workspace import Workspace
from pipelines.pretrained.encoder_weights import read_weights
from pipelines.pretrained.packaged_encoders import PACKAGES, packaged_file
from pipelines.stages.training.perceptual_loss import VGG_FILE, torch_cache
from pipelines.stages.training.training_run import note
from translate.networks.features.style_encoders import ENCODERS, StyleEncoder


def style_encoder(settings: AdaINSettings, run: Path, processes: Processes = ALONE) -> StyleEncoder:
    """The encoder of the settings with its weights, which the run folder notes; nothing is ever downloaded.

    Raises:
        UserError: Its weights are not on this machine, the run was begun with others, or other processes have others.
        CheckpointError: The file is damaged, unsafe, or of another network.
    """
    path = style_encoder_weights(settings)
    weights = sha256_of(path)
    processes.refuse_difference(["style encoder", weights])
    if processes.leads:
        note(run, "style_encoder", weights)
    try:
        return ENCODERS[settings.encoder](read_weights(path))
    except ValueError as error:
        raise CheckpointError(f"{path}: {error}") from error


def refuse_missing_style_encoder(workspace: Workspace) -> None:
    """Before hours of training, not after them: UserError where the method sees by weights that are not here and a
    translator of the experiment's seeds is still to be trained.
    """
    settings = workspace.experiment.translator
    if not settings.wants_style_encoder:
        return
    if not all(is_finished(workspace.translator(seed)) for seed in workspace.experiment.compare.seeds):
        style_encoder_weights(settings)


def style_encoder_weights(settings: AdaINSettings) -> Path:
    """The file of the settings, else that of a package or of torch's cache; UserError, with what to do, without one."""
    if settings.encoder_weights:
        path = Path(settings.encoder_weights)
        if not path.is_file():
            raise UserError(f"translator.encoder_weights: {path} does not exist; give a file of {settings.encoder}'s")
        return path
    if settings.encoder in PACKAGES:
        return packaged_file(settings.encoder)
    cached = torch_cache() / VGG_FILE
    if not cached.is_file():
        raise UserError(
            f"no VGG-19 weights in {cached}, and AdaIN sees by them; put torchvision's file there, name it in "
            'translator.encoder_weights, or set translator.encoder = "efficientnet_lite0" and '
            "translator.skip_connections = true"
        )
    return cached
