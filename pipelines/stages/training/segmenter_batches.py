"""What a segmenter learns from: translated, source or labelled real frames in their shares, augmented, and the target
frames beside them by which it adapts.
"""

import sys
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path

import numpy as np

from pipelines.batch_inference.folder import PLAN
from pipelines.batch_inference.plan import plan_sets
from pipelines.batch_inference.record import FAILURES
from pipelines.batch_inference.shards import listed_failures
from pipelines.data.disk.json_files import read_json
from pipelines.data.disk.manifest import MANIFEST, read_manifest
from pipelines.data.frames import FrameSet, open_frame_set
from pipelines.data.readers.translated import TranslatedSettings
from pipelines.data.sampling.adaptation_batches import AdaptationBatches, PseudoLabelledBatches
from pipelines.data.sampling.augment import FrameChanges, SegmenterAugmentation
from pipelines.data.sampling.batches import Draws, largest_height
from pipelines.data.sampling.labelled_batches import LabelledBatches, Mixture, RareClassSampler
from pipelines.data.sampling.random_keys import key_number
from pipelines.data.selection.scores import read_scores, select_by_consistency
from pipelines.engine.checkpoint_files import checkpoint_hash
from pipelines.engine.processes import ALONE, Processes
from pipelines.errors import NoInputsError, UserError
from pipelines.experiment.arms import ARMS
from pipelines.experiment.identity import scores_count
from pipelines.experiment.segmenters import SegmenterSettings
from pipelines.experiment.trained import finished_translator
from pipelines.experiment.workspace import Workspace
from pipelines.stages.predicting.pseudo_labels import with_pseudo_labels
from pipelines.stages.training.training_run import filled_pool
from segment.batches import BatchAugmentation
from segment.classes import CLASS_NAMES
from segment.methods.segmenter_training import LearnsFrom


def labelled_batches(workspace: Workspace, seed: int, arm: str, processes: Processes = ALONE) -> LabelledBatches:
    """The arm's mixture of frames, augmented as the settings say; of each batch, this process's part."""
    settings = workspace.experiment.segmenter
    shares = ARMS[arm].shares(settings)
    kept_height = largest_height(settings.height, settings.scale[1])
    sets = {name: _sets_of(workspace, seed, arm, name) for name, share in shares.items() if share > 0}
    weights: dict[str, np.ndarray] = {}
    if scores_count(workspace, arm):
        sets["translated"], weights = _consistent(workspace, seed, sets["translated"])
    pools = {
        name: filled_pool(name, frames, kept_height, labels=True, processes=processes) for name, frames in sets.items()
    }
    sampler = None
    if settings.rare_class_sampling:
        sampler = RareClassSampler(pools, len(CLASS_NAMES), settings.rare_class_temperature, weights)
    style = None
    if settings.style_from_target > 0 and shares["target"] < 1:
        style = filled_pool("style", workspace.target, settings.crop[1], processes=processes)
    return LabelledBatches(
        pools,
        Mixture(shares, sampler, weights, settings.exact_shares, first_step_on_target(settings, shares)),
        Draws(seed, settings.batch, processes.share_of(settings.batch)),
        augmentation_in_workers(settings),
        style,
        style_in_batch=settings.augment_on == "device",
    )


def adaptation_batches(workspace: Workspace, seed: int, arm: str, processes: Processes = ALONE) -> AdaptationBatches:
    """An arm's labelled frames in their shares, and beside them target frames whose label maps are not read."""
    settings = workspace.experiment.segmenter
    kept_height = largest_height(settings.height, settings.scale[1])
    target = filled_pool("target", workspace.target, kept_height, processes=processes)
    source = labelled_batches(workspace, seed, arm, processes)
    return AdaptationBatches(source, target, augmentation_in_workers(settings))


def semi_supervised_batches(
    workspace: Workspace, seed: int, arm: str, processes: Processes = ALONE
) -> AdaptationBatches:
    """Batches of `adaptation_batches` with the target frames that the arm may learn from (`labelled_target`)."""
    settings = workspace.experiment.segmenter
    batches = adaptation_batches(workspace, seed, arm, processes)
    few = _sets_of(workspace, seed, arm, "target")
    kept_height = largest_height(settings.height, settings.scale[1])
    pool = filled_pool("labelled target", few, kept_height, labels=True, processes=processes)
    batches.labelled_target = LabelledBatches(
        {"target": pool},
        Mixture({"target": 1.0}),
        # A seed of its own, or the frames would be drawn and cropped as the source's are.
        replace(batches.source.draws, seed=key_number(seed, "labelled_target")),
        augmentation_in_workers(settings),
    )
    return batches


def pseudo_labelled_batches(
    workspace: Workspace, seed: int, arm: str, processes: Processes = ALONE
) -> PseudoLabelledBatches:
    """The arm's mixture of frames, and target frames with the labels that its teachers gave them."""
    settings = workspace.experiment.segmenter
    source = labelled_batches(workspace, seed, arm, processes)
    labelled = workspace.merging(with_pseudo_labels(workspace.target, workspace.pseudo_labels(seed)))
    kept_height = largest_height(settings.height, settings.scale[1])
    pool = filled_pool("pseudo-labelled target", labelled, kept_height, labels=True, processes=processes)
    target = LabelledBatches(
        {"target": pool},
        Mixture({"target": 1.0}),
        replace(source.draws, seed=key_number(seed, "pseudo_labels")),
        augmentation_in_workers(settings),
    )
    return PseudoLabelledBatches(source, target)


BATCHES: dict[LearnsFrom, Callable[..., LabelledBatches | AdaptationBatches]] = {
    "labelled": labelled_batches,
    "adaptation": adaptation_batches,
    "semi_supervised": semi_supervised_batches,
    "pseudo_labels": pseudo_labelled_batches,
}
"""Makers of batches by what a method learns from."""


def augmentation_in_workers(settings: SegmenterSettings) -> SegmenterAugmentation:
    """All of it, or scale and crop alone where the device does the rest."""
    if settings.augment_on == "device":
        return SegmenterAugmentation(settings.height, settings.crop, settings.scale)
    return SegmenterAugmentation(settings.height, settings.crop, settings.scale, _changes(settings))


def augmentation_on_device(settings: SegmenterSettings) -> BatchAugmentation | None:
    """What the device does, if it does anything."""
    if settings.augment_on == "workers":
        return None
    from pipelines.data.sampling.device_augment import DeviceAugmentation  # kornia takes seconds to import

    return DeviceAugmentation(_changes(settings))


def _changes(settings: SegmenterSettings) -> FrameChanges:
    """What either the workers or the device do; it has the same names in the settings."""
    return FrameChanges(**{one.name: getattr(settings, one.name) for one in fields(FrameChanges)})


def first_step_on_target(settings: SegmenterSettings, shares: dict[str, float]) -> int | None:
    """From which step on an arm learns from target frames alone; None for an arm that has none, or never."""
    if settings.last_steps_on_target == 0 or shares["target"] == 0:
        return None
    return settings.steps - settings.last_steps_on_target


def _sets_of(workspace: Workspace, seed: int, arm: str, share: str) -> list[FrameSet]:
    if share == "source":
        return workspace.labelled_source
    if share == "target":
        if not workspace.labelled_target:
            raise NoInputsError("no target frame has a label map; the segmenter has nothing to learn from")
        return workspace.target_labels(seed, arm)
    folder = workspace.finished_translation(seed)
    made_by = read_json(folder / PLAN)
    expected = checkpoint_hash(finished_translator(workspace, seed)), workspace.experiment.translation.height
    if (made_by.get("checkpoint_sha256"), made_by.get("height")) != expected:
        raise UserError(
            f"{folder}: translated by another translator, or at another height; "
            "run `sim2real translate experiment --restart` first"
        )
    _refuse_other_frames(workspace, folder)
    return [open_frame_set(TranslatedSettings(reader="translated", name="translated", root=str(folder)), workspace.run)]


def _refuse_other_frames(workspace: Workspace, folder: Path) -> None:
    """UserError where a set was translated from other frames than are the source's now; those that failed are left out.

    The translator does not tell: one of label maps has learnt from no source frame.
    """
    made = {entry.frame: (entry.source_sha256, entry.label_sha256) for entry in read_manifest(folder / MANIFEST)}
    failed = listed_failures(folder / FAILURES)
    wanted = {
        frame.name: (workspace.sets.hash_of(frame.image), frame.label and workspace.sets.hash_of(frame.label))
        for frame in plan_sets(workspace.labelled_source, folder)
        if frame.name not in failed
    }
    other = sorted(name for name in made.keys() | wanted.keys() if made.get(name) != wanted.get(name))
    if other:
        raise UserError(
            f"{folder}: not translated from the source frames as they are now ({other[0]}; {len(other)} in all); run "
            "`sim2real translate experiment` first"
        )


def _consistent(workspace: Workspace, seed: int, sets: list[FrameSet]) -> tuple[list[FrameSet], dict[str, np.ndarray]]:
    """The translated frames that the settings let through, with their weights by pool."""
    settings, folder = workspace.experiment.segmenter, workspace.finished_translation(seed)
    scores = read_scores(folder)
    least, weigh = settings.least_label_consistency, settings.weigh_by_consistency
    kept, weights = zip(*(select_by_consistency(frames, scores, least, weigh) for frames in sets), strict=True)
    if not weigh or any(of_set is None for of_set in weights):
        if weigh:
            print(
                f"{folder}: the expert recognises nothing in any frame, so there is nothing to "
                "weigh by (segmenter.weigh_by_consistency); frames are drawn evenly",
                file=sys.stderr,
            )
        return list(kept), {}
    return list(kept), {"translated": np.concatenate(weights)}
