"""Stage two, training: translated, source or labelled real frames in their shares, a run folder with a segmenter
out.
"""

import copy
import sys
from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

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
from pipelines.engine.checkpoint_files import checkpoint_hash, is_finished
from pipelines.engine.launch import Machine, choose_machine, seed_weights
from pipelines.engine.processes import ALONE, Processes
from pipelines.engine.session import Session
from pipelines.errors import CheckpointError, NoInputsError, UserError
from pipelines.experiment.arms import ARMS, adaptation_title
from pipelines.experiment.identity import scores_count, segmenter_run_inputs
from pipelines.experiment.segmenters import SegmenterSettings
from pipelines.experiment.trained import (
    assume,
    assumptions_of,
    build_network,
    finished_translator,
    load_ensemble,
    load_segmenter,
)
from pipelines.experiment.workspace import Workspace
from pipelines.stages.predicting.pseudo_labels import Choice, with_pseudo_labels, write_pseudo_labels
from pipelines.stages.training.training_run import TrainingJob, filled_pool, note, refuse_uneven_batches, train_run
from segment.adaptation.feature_norm import FeatureNormSettings
from segment.batches import BatchAugmentation
from segment.classes import CLASS_NAMES
from segment.losses import inverse_log_weights
from segment.methods import METHODS
from segment.methods.segmenter_training import LearnsFrom, SegmenterTraining, SegmenterTrainingSettings
from segment.networks import NETWORKS
from segment.networks.segmenter import Segmenter
from segment.normalisation import refusal_of_single_images


def train_segmenter(workspace: Workspace, seed: int, arm: str, session: Session) -> Path:
    """Train (or carry on training) one arm's segmenter with one seed; return its run folder."""
    settings, machine = ARMS[arm].settings(workspace.experiment.segmenter), session.machine
    processes = machine.processes
    refuse_uneven_batches("segmenter.batch", settings.batch, processes)
    refuse_single_images(settings, processes)
    refuse_unfit_method(workspace, [seed], arm)
    inputs = segmenter_run_inputs(workspace, seed, arm)  # which refuses what is missing before anything is trained
    for needed in (settings.initial, *settings.teachers):
        if needed in ARMS:
            train_segmenter(workspace, seed, needed, session)

    @cache
    def batches() -> LabelledBatches | AdaptationBatches:
        if METHODS[settings.method].learns_from == "pseudo_labels":
            label_target(workspace, seed, session)
        return BATCHES[METHODS[settings.method].learns_from](workspace, seed, arm, processes)

    job = TrainingJob(
        workspace.segmenter(seed, arm),
        inputs,
        settings,
        f"train {settings.network} {_learning(arm, settings)}, seed {seed}",
        lambda: starting_segmenter(workspace, seed, arm, batches(), machine),
        batches,
        lambda method: {"assumed": assumptions_of(method.network)},
    )
    return train_run(job, session)


def _learning(arm: str, settings: SegmenterSettings) -> str:
    """The arm, and by which method it adapts."""
    method = adaptation_title(settings.model_dump())
    return arm if method is None else f"{arm} by {method}"


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


def choice_of(settings: SegmenterSettings) -> Choice:
    """Which pseudo-labels count, as the settings of a method that learns from them say."""
    chosen = settings.adaptation
    return Choice(
        chosen.kept_share, chosen.largest_threshold, chosen.assignment, chosen.flip, chosen.prototype_temperature
    )


def label_target(workspace: Workspace, seed: int, session: Session) -> None:
    """Have the teachers label the target frames, as far as it is not done; of several processes the leader does it."""
    settings, processes = workspace.experiment.segmenter, session.machine.processes
    if processes.leads and settings.adaptation is not None:
        teachers = load_ensemble([_run_of(workspace, seed, one) for one in settings.teachers], session.machine)
        write_pseudo_labels(workspace.target, teachers, workspace.pseudo_labels(seed), choice_of(settings), session)
    processes.from_leader(0)  # the others wait


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


def refuse_single_images(
    settings: SegmenterSettings, processes: Processes = ALONE, teacher: Segmenter | None = None
) -> None:
    """UserError if batches of one image are asked for that the network, or a teacher that learns, cannot normalise."""
    normalised_together = settings.batch if settings.batch_norm == "synced" else len(processes.share_of(settings.batch))
    if normalised_together > 1 or settings.batch_norm == "frozen":
        return
    width, height = settings.crop
    build = NETWORKS[settings.network] if teacher is None else lambda: copy.deepcopy(teacher)
    refusal = refusal_of_single_images(build, height, width)
    if refusal is None:
        return
    count, remedy = processes.world_size, 'segmenter.batch_norm to "frozen"'
    each = ""
    if count > 1:
        each, remedy = f", one image for each of {count} processes", f'segmenter.batch_norm to "synced", {remedy}'
    who = settings.network if teacher is None else "the network of segmenter.teachers"
    raise UserError(
        f"segmenter.batch is {count}{each}, with which {who} cannot train ({refusal.split('. ')[0]}); set "
        f"segmenter.batch to {2 * count} or more, or {remedy}"
    )


def refuse_unfit_method(workspace: Workspace, seeds: Sequence[int], arm: str) -> None:
    """For before hours of training; says nothing of an arm that is trained already, by all of the seeds.

    Raises:
        UserError: The method by which the arm adapts cannot train its network, such as one without an auxiliary head.
    """
    settings = ARMS[arm].settings(workspace.experiment.segmenter)
    if settings.adaptation is None or all(is_finished(workspace.segmenter(seed, arm)) for seed in seeds):
        return
    with torch.device("meta"):  # neither memory nor time for its weights
        network = NETWORKS[settings.network]()
    method = METHODS[settings.method]
    teacher = {"teacher": network} if method.takes_teacher and method.learns_from != "pseudo_labels" else {}
    build_segmenter(
        settings,
        network,
        **teacher,
        encoder_from_imagenet=settings.initial is None and settings.encoder_weights is not None,
    )


def starting_segmenter(
    workspace: Workspace, seed: int, arm: str, batches: LabelledBatches | AdaptationBatches, machine: Machine
) -> SegmenterTraining:
    """The method as its training begins; the run folder notes, once, which weights its encoder starts from.

    Raises:
        UserError: The weights are not there or do not fit; or the run was begun with others.
    """
    settings, processes = ARMS[arm].settings(workspace.experiment.segmenter), machine.processes
    run = workspace.segmenter(seed, arm)
    network = build_network(settings, seed)
    if settings.initial is not None:
        take_over(network, _run_of(workspace, seed, settings.initial))
    elif settings.encoder_weights is not None:
        from pipelines.pretrained.encoder_weights import load_encoder

        origin = load_encoder(network, settings.encoder_weights)
        if processes.leads and note(run, "encoder_weights", origin):
            print(origin, file=sys.stderr)
    teacher = {}
    method = METHODS[settings.method]
    if method.takes_teacher and method.learns_from != "pseudo_labels":
        runs = [_run_of(workspace, seed, one) for one in settings.teachers]
        height = None if method.trains_teacher else settings.height
        teacher["teacher"] = load_ensemble(runs, machine, height=height).network
    if settings.initial is not None:
        # To load a network seeds torch alike for every run. What the method adds (discriminators, a second classifier)
        # is drawn next, and is this run's own.
        seed_weights(seed, "adaptation")
    training = build_segmenter(
        settings,
        network,
        **teacher,
        peers=processes.peers(),
        class_weights=class_weights(settings, batches),
        augmentation=augmentation_on_device(settings),
        encoder_from_imagenet=settings.initial is None and settings.encoder_weights is not None,
    )
    for one in teacher.values():
        if any(parameter.requires_grad for parameter in one.parameters()):  # the method has it learn
            refuse_single_images(settings, processes, one)
    return training


def _run_of(workspace: Workspace, seed: int, segmenter: str) -> Path:
    """The run folder of an arm of this experiment, or the path that is given."""
    return workspace.segmenter(seed, segmenter) if segmenter in ARMS else Path(segmenter)


def take_over(network: Segmenter, initial: Path) -> None:
    """Fill a network with the weights that another training ended with, and have it take images as these were made for.

    Raises:
        CheckpointError: Damaged, not a segmenter, or of another network.
    """
    trained, settings, checkpoint = load_segmenter(initial, choose_machine("cpu"))
    try:
        network.load_state_dict(trained.state_dict())
    except RuntimeError as error:
        raise CheckpointError(
            f"segmenter.initial: {checkpoint} is a {settings.network}, whose weights do not fit; name one of the same "
            "network"
        ) from error
    assume(network, assumptions_of(trained))


def build_segmenter(settings: SegmenterSettings, network: Segmenter, **collaborators: Any) -> SegmenterTraining:
    """The method around a network; `collaborators` are what only a training has, as its constructor takes them.

    Raises:
        UserError: The method cannot train this network.
    """
    method = METHODS[settings.method]
    own = None
    if method.Settings is not None and settings.adaptation is not None:
        own = method.Settings(**settings.adaptation.declared_values())
        if (added := settings.adaptation.added_norm) is not None:
            collaborators["feature_norm"] = FeatureNormSettings(**added.declared_values())
    training = SegmenterTrainingSettings(**settings.declared_values())
    try:
        return method(network, training, own, **collaborators)
    except ValueError as error:
        raise UserError(f"segmenter: {settings.method} and {settings.network}: {error}") from error


def class_weights(settings: SegmenterSettings, batches: LabelledBatches | AdaptationBatches) -> Tensor | None:
    """The weights of the classes in the loss: as listed, or counted on the frames that are learnt from."""
    if settings.class_weights is None:
        return None
    if isinstance(settings.class_weights, tuple):
        return torch.tensor(settings.class_weights)
    return inverse_log_weights(torch.from_numpy(batches.class_shares(len(CLASS_NAMES)))).float()
