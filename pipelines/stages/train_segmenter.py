"""Stage two, training: translated, source or labelled real frames in their shares, a run folder with a segmenter
out.
"""

from pathlib import Path
from typing import Any

import numpy as np

from pipelines.data.augment import SegmenterAugmentation
from pipelines.data.batches import LabelledBatches, RareClassSampler, largest_height
from pipelines.data.frames import FrameSet, open_frame_set
from pipelines.data.manifest import MANIFEST
from pipelines.data.scores import read_scores, select_by_consistency
from pipelines.data.translated import TranslatedSettings
from pipelines.engine.checkpoints import checkpoint_hash, load_method, resolve_checkpoint
from pipelines.engine.launch import Machine, seed_weights
from pipelines.engine.runs import read_json
from pipelines.errors import NoInputsError, UserError
from pipelines.segmenters import SegmenterSettings
from pipelines.stages.trained_translator import finished_translator, settings_in
from pipelines.stages.training_run import filled_pool, train_run
from pipelines.translation.folder import PLAN
from pipelines.workspace import Workspace, arm_shares
from segment.classes import CLASS_NAMES
from segment.methods import METHODS
from segment.methods.supervised import Supervised
from segment.networks import NETWORKS
from segment.networks.segmenter import Segmenter


def train_segmenter(
    workspace: Workspace, seed: int, arm: str, machine: Machine, workers: int, restart: bool = False
) -> Path:
    """Train (or carry on training) one arm's segmenter with one seed; return its run folder."""
    settings = workspace.experiment.segmenter
    return train_run(
        workspace.segmenter(seed, arm),
        segmenter_inputs(workspace, seed, arm),
        settings,
        lambda: build_segmenter(settings, seed),
        lambda: labelled_batches(workspace, seed, arm),
        machine,
        workers,
        restart,
        f"train {settings.network} {arm}, seed {seed}",
    )


def segmenter_inputs(workspace: Workspace, seed: int, arm: str) -> dict[str, Any]:
    """What decides an arm's outcome: as the workspace knows it, and the scores of the translated frames if they count.

    Raises:
        UserError: They count, and the frames are not scored.
    """
    inputs = workspace.segmenter_inputs(seed, arm)
    if scores_count(workspace, arm):
        inputs["frames"]["scores"] = read_scores(_translated(workspace, seed)).fingerprint()
    return inputs


def scores_count(workspace: Workspace, arm: str) -> bool:
    """Whether an arm drops or weighs translated frames by their label consistency."""
    settings = workspace.experiment.segmenter
    asked = settings.least_label_consistency is not None or settings.weigh_by_consistency
    return asked and arm_shares(workspace.experiment, arm)["translated"] > 0


def labelled_batches(workspace: Workspace, seed: int, arm: str) -> LabelledBatches:
    """The arm's mixture of frames, augmented as the settings say."""
    settings = workspace.experiment.segmenter
    shares = arm_shares(workspace.experiment, arm)
    kept_height = largest_height(settings.height, settings.scale[1])
    sets = {name: _sets_of(workspace, seed, arm, name) for name, share in shares.items() if share > 0}
    weights: dict[str, np.ndarray] = {}
    if scores_count(workspace, arm):
        sets["translated"], weights = _consistent(workspace, seed, sets["translated"])
    pools = {name: filled_pool(name, frames, kept_height, labels=True) for name, frames in sets.items()}
    sampler = None
    if settings.rare_class_sampling:
        sampler = RareClassSampler(pools, len(CLASS_NAMES), settings.rare_class_temperature, weights)
    augmentation = SegmenterAugmentation(
        settings.height, settings.crop, settings.scale, settings.flip, settings.colour_jitter, settings.blur
    )
    return LabelledBatches(pools, shares, seed, settings.batch, augmentation, sampler, weights)


def _sets_of(workspace: Workspace, seed: int, arm: str, share: str) -> list[FrameSet]:
    if share == "source":
        return workspace.labelled_source
    if share == "target":
        if not workspace.labelled_target:
            raise NoInputsError("no target frame has a label map; the segmenter has nothing to learn from")
        return workspace.target_labels(seed, arm)
    folder = _translated(workspace, seed)
    made_by = read_json(folder / PLAN)
    expected = checkpoint_hash(finished_translator(workspace, seed)), workspace.experiment.translation.height
    if (made_by.get("checkpoint_sha256"), made_by.get("height")) != expected:
        raise UserError(
            f"{folder}: translated by another translator, or at another height; "
            "run `sim2real translate experiment --restart` first"
        )
    return [open_frame_set(TranslatedSettings(reader="translated", name="translated", root=str(folder)), workspace.run)]


def _translated(workspace: Workspace, seed: int) -> Path:
    folder = workspace.translated(seed).absolute()
    if not (folder / MANIFEST).exists():
        raise UserError(f"{folder}: no translated frames yet; run `sim2real translate experiment` first")
    return folder


def _consistent(workspace: Workspace, seed: int, sets: list[FrameSet]) -> tuple[list[FrameSet], dict[str, np.ndarray]]:
    """The translated frames that the settings let through, with their weights by pool."""
    settings, scores = workspace.experiment.segmenter, read_scores(_translated(workspace, seed))
    least, weigh = settings.least_label_consistency, settings.weigh_by_consistency
    kept, weights = zip(*(select_by_consistency(frames, scores, least, weigh) for frames in sets), strict=True)
    return list(kept), {"translated": np.concatenate(weights)} if weigh else {}


def build_segmenter(settings: SegmenterSettings, seed: int = 0) -> Supervised:
    """The method with freshly drawn weights, a function of the seed alone: all arms start from the same."""
    seed_weights(seed, "segmenter")
    return METHODS[settings.method](
        network=NETWORKS[settings.network](),
        steps=settings.steps,
        learning_rate=settings.learning_rate,
        warmup_steps=settings.warmup_steps,
        optimizer=settings.optimizer,
        weight_decay=settings.weight_decay,
        loss=settings.loss,
        auxiliary_weight=settings.auxiliary_weight,
        ema_decay=settings.ema_decay,
    )


def load_segmenter(path: Path, machine: Machine) -> tuple[Segmenter, SegmenterSettings, Path]:
    """The network to predict with, from a run folder or checkpoint; its settings; the checkpoint used.

    Raises:
        CheckpointError: Damaged, or not a segmenter.
    """
    checkpoint = resolve_checkpoint(path)
    settings = SegmenterSettings.model_validate(settings_in(checkpoint, "segmenter"))
    method = build_segmenter(settings)
    load_method(checkpoint, method)
    return method.evaluated_network().to(machine.device).eval(), settings, checkpoint
