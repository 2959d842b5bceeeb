"""Stage two, training: an experiment's arm in, a run folder with a segmenter out.

What it learns from is made in `segmenter_batches`; by which method it learns, in `segment/methods`.
"""

import copy
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pipelines.data.sampling.adaptation_batches import AdaptationBatches
from pipelines.data.sampling.labelled_batches import LabelledBatches
from pipelines.engine.checkpoint_files import is_finished
from pipelines.engine.launch import Machine, choose_machine, seed_weights
from pipelines.engine.processes import ALONE, Processes
from pipelines.engine.session import Session
from pipelines.errors import CheckpointError, UserError
from pipelines.experiment.arms import ARMS, adaptation_title
from pipelines.experiment.identity import segmenter_run_inputs
from pipelines.experiment.segmenters import SegmenterSettings
from pipelines.experiment.trained import assume, assumptions_of, build_network, load_ensemble, load_segmenter
from pipelines.experiment.workspace import Workspace
from pipelines.stages.predicting.pseudo_labels import Choice, write_pseudo_labels
from pipelines.stages.training.segmenter_batches import BATCHES, augmentation_on_device
from pipelines.stages.training.training_run import TrainingJob, note, refuse_uneven_batches, train_run
from segment.adaptation.feature_norm import FeatureNormSettings
from segment.classes import CLASS_NAMES
from segment.losses import inverse_log_weights
from segment.methods import METHODS
from segment.methods.segmenter_training import SegmenterTraining, SegmenterTrainingSettings
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

    run = workspace.segmenter(seed, arm)
    job = TrainingJob(
        run,
        inputs,
        settings,
        f"train {settings.network} {_learning(arm, settings)}{workspace.among_others(run)}, seed {seed}",
        lambda: starting_segmenter(workspace, seed, arm, batches(), machine),
        batches,
        lambda method: {"assumed": assumptions_of(method.network)},
    )
    return train_run(job, session)


def _learning(arm: str, settings: SegmenterSettings) -> str:
    """The arm, and by which method it adapts."""
    method = adaptation_title(settings.model_dump())
    return arm if method is None else f"{arm} by {method}"


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
