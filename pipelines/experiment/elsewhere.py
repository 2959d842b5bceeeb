"""What an experiment names that it does not make itself: runs and checkpoints of networks, files of weights.

Looked up before anything is trained, since what comes before it may take days: whether it is there, of the right stage
and of a network that fits. No tensor is read.
"""

from pathlib import Path

from pipelines.engine.checkpoint_files import is_finished, resolve_checkpoint, settings_in
from pipelines.errors import CheckpointError, UserError
from pipelines.experiment.arms import ENCODER, EXPERT, arm_named
from pipelines.experiment.segmenters import (
    NO_FILES,
    PACKAGE,
    PACKAGED_ENCODERS,
    RANDOM,
    SegmenterSettings,
    same_weights,
)
from pipelines.experiment.translators import (
    PACKAGED,
    UNGUIDED,
    AdaINSettings,
    AnyTranslatorSettings,
    Pix2pixHDSettings,
    StudentSettings,
    TranslatorTraining,
    other_architecture,
)
from pipelines.experiment.workspace import Workspace


def segmenter_elsewhere(setting: str, path: str, network: str | None = None) -> Path:
    """The checkpoint of the segmenter that a setting names by its path.

    Args:
        setting: By its dotted key.
        path: A run folder or a checkpoint.
        network: What its weights are to fit; None: any.

    Raises:
        CheckpointError: It has no checkpoint, or a damaged one; it is no segmenter, or of another network.
    """
    checkpoint, settings = _elsewhere(setting, path, "segmenter")
    trained = str(settings.get("network"))
    if network is not None and not same_weights(trained, network):
        raise CheckpointError(
            f"{setting}: {checkpoint} is a {trained}, whose weights do not fit {network}; name one of the same network"
        )
    return checkpoint


def translator_elsewhere(setting: str, path: str, fits: TranslatorTraining | None = None) -> Path:
    """The checkpoint of the translator that a setting names by its path.

    Args:
        setting: By its dotted key.
        path: A run folder or a checkpoint.
        fits: Settings of a translator that is to begin with its weights; None: of none.

    Raises:
        CheckpointError: It has no checkpoint, or a damaged one; it is no translator, or by the same method and of
            another architecture.
    """
    checkpoint, settings = _elsewhere(setting, path, "translator")
    if fits is not None and settings.get("method") == fits.method:
        key = other_architecture(fits, settings)
        if key is not None:
            raise CheckpointError(
                f"{setting}: {checkpoint} is another network: {key} is {settings[key]} there and "
                f"{getattr(fits, key)} here; give both the same"
            )
    return checkpoint


def _elsewhere(setting: str, path: str, stage: str) -> tuple[Path, dict]:
    try:
        checkpoint = resolve_checkpoint(Path(path))
        return checkpoint, settings_in(checkpoint, stage)
    except CheckpointError as error:
        raise CheckpointError(f"{setting}: {error}") from error


def refuse_missing_weights(segmenter: SegmenterSettings) -> None:
    """UserError if `encoder_weights` is a file that is not there, or "package" for a network that no package serves.

    Neither torchvision's cache nor the installed packages are looked into.
    """
    source, network = segmenter.encoder_weights, segmenter.network
    if source == PACKAGE and segmenter.initial is None and not network.endswith(PACKAGED_ENCODERS):
        raise UserError(
            f"segmenter.encoder_weights is {PACKAGE!r}, and no package has any for {network}, only for networks that "
            f"end in {', '.join(PACKAGED_ENCODERS)}; choose one of these, give the path of a file, or set it to "
            f'"{RANDOM}"'
        )
    if source is not None and source not in NO_FILES and not Path(source).is_file():
        raise UserError(
            f"segmenter.encoder_weights: {source} does not exist; give a file of weights, "
            f"{' or '.join(repr(name) for name in NO_FILES)}, or leave it out for random ones"
        )


def refuse_missing_aids(workspace: Workspace, seed: int) -> None:
    """For before anything is trained that a translator builds on.

    Raises:
        UserError: A file of weights that its settings name is not there, and it is not trained yet; or the segmenter
            that guides it, or by whose features a student's real patches are found, where it is no arm.
        CheckpointError: These are no segmenters, or what it starts from is no translator or another network.
    """
    settings = workspace.experiment.translator
    trained = is_finished(workspace.translator(workspace.translator_seed(seed)))
    for name, given in named_weights(settings).items():
        if not trained and given not in ("", PACKAGED) and not Path(given).is_file():
            raise UserError(
                f"translator.{name}: {given} does not exist; name a file of weights that does, or leave the setting out"
            )
    if settings.initial not in (None, UNGUIDED):
        translator_elsewhere("translator.initial", settings.initial, settings)
    if settings.guided_by is not None and workspace.expert_arm(settings.guided_by) is None:
        segmenter_elsewhere(EXPERT, settings.guided_by.expert)
    looks = isinstance(settings, StudentSettings) and settings.finds_real_patches and settings.encoder != PACKAGED
    if looks and arm_named(ENCODER, settings.encoder) is None:
        segmenter_elsewhere(ENCODER, settings.encoder)


def named_weights(settings: AnyTranslatorSettings) -> dict[str, str]:
    """The files of others' weights that a translator's training reads, by the settings that name them."""
    if isinstance(settings, AdaINSettings):
        return {"encoder_weights": settings.encoder_weights}
    if isinstance(settings, Pix2pixHDSettings | StudentSettings) and settings.wants_perceptual_loss:
        return {"perceptual_weights": settings.perceptual_weights}
    return {}
