"""What a student is trained with: its teacher's translations of the source frames, and real patches to be like.

A teacher that is given as a translator translates first. Real patches are cut side by side from the target frames and
known by the features of a trained segmenter, or of ImageNet's encoder from an installed package.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from pipelines.batch_inference.plan import plan_sets
from pipelines.batch_inference.translation_options import TranslationOptions
from pipelines.data.disk.manifest import MANIFEST
from pipelines.data.frames import FrameSet
from pipelines.data.images import image_size
from pipelines.data.sampling.augment import fit_height, fitted_size
from pipelines.data.sampling.batches import Crops, Draws, largest_height
from pipelines.data.sampling.translated_batches import TranslatedBatches
from pipelines.engine.checkpoint_files import checkpoint_hash, settings_in
from pipelines.engine.launch import Machine
from pipelines.engine.processes import ALONE, Processes
from pipelines.engine.session import Session
from pipelines.errors import NoInputsError, UserError
from pipelines.experiment.arms import ENCODER, arm_named
from pipelines.experiment.teachers import teachers_checkpoint, teachers_network, teachers_pairs
from pipelines.experiment.trained import load_segmenter, load_translator
from pipelines.experiment.translators import PACKAGED, StudentSettings
from pipelines.experiment.workspace import Workspace
from pipelines.pretrained.packaged_encoders import packaged_classifier
from pipelines.stages.training.training_run import filled_pool, note
from pipelines.stages.translating.translate_experiment import run_translation
from segment.networks.encoders.efficientnet_lite import EfficientNetLiteClassifier
from translate.methods import TRANSLATORS
from translate.patch_matching import RealPatches, grid_patches
from translate.quality.features import PooledStage
from translate.teacher_features import TeacherFeatures

PACKAGED_ENCODER = "efficientnet_lite0"


def teach(workspace: Workspace, seed: int, session: Session) -> None:
    """Have the teacher translate the source frames, where it is a translator; what is finished is left alone.

    Raises:
        UserError: It is yet to do so, and several processes were started; or a frame was not translated.
    """
    checkpoint = teachers_checkpoint(workspace)
    folder = workspace.teachers_frames(seed)
    if checkpoint is not None and session.machine.processes.world_size == 1:
        direction = workspace.experiment.translator.teacher_direction
        options = TranslationOptions(direction=direction, height=workspace.experiment.translation.height)
        of_layouts = TRANSLATORS[settings_in(checkpoint, "translator")["method"]].takes == "label_map"
        frames = workspace.labelled_source if of_layouts else workspace.source
        run_translation(checkpoint, plan_sets(frames, folder), folder, options, session)
    elif checkpoint is not None and not (folder / MANIFEST).exists():
        raise UserError(
            f"translator.teacher has not translated the source frames to {folder} yet, which one process does; run "
            "`sim2real translate distill` without torchrun first"
        )
    teachers_pairs(workspace, seed)  # refuses what is missing before anything is trained


def translated_batches(workspace: Workspace, seed: int, processes: Processes = ALONE) -> TranslatedBatches:
    """Crops of the source frames and of the teacher's translations, with the labels that guidance needs."""
    settings = workspace.experiment.translator
    kept_height = largest_height(settings.height, settings.scale[1])
    labels = settings.guided_by is not None and settings.guided_by.label_weight > 0
    pairs = teachers_pairs(workspace, seed)
    return TranslatedBatches(
        filled_pool("source", pairs.sources, kept_height, labels, processes),
        filled_pool("teacher's", pairs.translated, kept_height, processes=processes),
        Draws(seed, settings.batch, processes.share_of(settings.batch)),
        Crops(settings.height, (settings.crop, settings.crop), settings.scale, settings.flip),
        labels,
    )


@dataclass(frozen=True)
class Encoder:
    """What patches are known by: images (B, 3, S, S) in [0, 1], on any device, to vectors (B, D)."""

    name: str
    encode: Callable[[Tensor], Tensor]


def open_encoder(workspace: Workspace, seed: int, machine: Machine) -> Encoder:
    """The encoder that the settings name, at its own normalisation.

    Raises:
        UserError: The package is not installed, or there is no such segmenter.
        CheckpointError: The segmenter is damaged or not trained yet.
    """
    settings = workspace.experiment.translator
    if settings.encoder == PACKAGED:
        network = _OfUnitImages(packaged_classifier(PACKAGED_ENCODER)).to(machine.device)
        return Encoder(f"{PACKAGED_ENCODER} of ImageNet", _on(machine, PooledStage(network, network.deepest)))
    arm = arm_named(ENCODER, settings.encoder)
    path = Path(settings.encoder) if arm is None else workspace.segmenter(seed, arm)
    network, trained, checkpoint = load_segmenter(path, machine)
    name = f"{trained.network}@{checkpoint_hash(checkpoint)[:8]}"
    return Encoder(name, _on(machine, PooledStage(network, network.encoder)))


class _OfUnitImages(nn.Module):
    """A classifier that is given images in [0, 1]."""

    def __init__(self, network: EfficientNetLiteClassifier) -> None:
        super().__init__()
        self.network = network
        self.deepest = f"network.{network.deepest}"

    def forward(self, image: Tensor) -> Tensor:
        return self.network(self.network.normalised(image))


def _on(machine: Machine, features: PooledStage) -> Callable[[Tensor], Tensor]:
    return lambda patches: features(patches.to(machine.device))


def real_patches(workspace: Workspace, seed: int, machine: Machine) -> RealPatches | None:
    """The real patches that the settings ask for, encoded; None where they ask for none. The run says how many.

    Raises:
        NoInputsError: No target frame has room for a patch.
    """
    settings = workspace.experiment.translator
    if not settings.finds_real_patches:
        return None
    patches = cut_patches(workspace.target, settings)
    encoder = open_encoder(workspace, seed, machine)
    real = RealPatches(patches, encoder.encode)
    if machine.processes.leads:
        said = f"{len(real)} of {settings.patch} pixels, found by {encoder.name}"
        if note(workspace.translator(seed), "real_patches", said):
            print(f"real patches: {said}", file=sys.stderr)
    return real


def teacher_features(workspace: Workspace, machine: Machine) -> TeacherFeatures | None:
    """The teacher's generator, whose features the settings have imitated; None where they do not.

    Raises:
        UserError: The teacher is only a folder of frames, or has no features to imitate.
        CheckpointError: The teacher is damaged.
    """
    if workspace.experiment.translator.feature_weight == 0:
        return None
    found = teachers_network(workspace)
    teacher, _ = load_translator(found.checkpoint, machine)
    return TeacherFeatures(teacher.generator(found.direction))


def cut_patches(target: list[FrameSet], settings: StudentSettings) -> list[Tensor]:
    """Patches side by side of the target frames at the height of training, uint8 (3, S, S); at most `real_patches`.

    Which ones follows from the frames' sizes alone, so frames without a chosen patch are not read.
    """
    side = settings.patch
    frames = [(one, index) for one in target for index in range(len(one))]
    counts = [_fitting(image_size(one.frames[index].image), settings) for one, index in frames]
    total = sum(counts)
    if total == 0:
        raise NoInputsError(f"no target frame has room for a patch of {side} pixels; lower the setting patch")
    chosen = np.unique(np.linspace(0, total - 1, min(total, settings.real_patches)).round().astype(int))
    starts = np.cumsum([0, *counts])
    patches: list[Tensor] = []
    for (one, index), start, stop in zip(frames, starts, starts[1:], strict=False):
        own = chosen[(chosen >= start) & (chosen < stop)] - start
        if len(own):
            image = fit_height(one.read_image(index), settings.height, enlarge=True, least_width=side)
            grid = grid_patches(torch.from_numpy(image).permute(2, 0, 1)[None], side)
            patches += [grid[place].clone() for place in own.tolist()]
    return patches


def _fitting(size: tuple[int, int], settings: StudentSettings) -> int:
    """How many patches a frame of (width, height) holds once it is fitted."""
    width, height = fitted_size(size[::-1], settings.height, enlarge=True, least_width=settings.patch)
    return (width // settings.patch) * (height // settings.patch)
