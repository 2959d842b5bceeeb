"""Stage one, training: unpaired source and target frames in, a run folder with a translator out.

A guided translator builds on other runs: an expert that guides it, perhaps an unguided translator that it starts from;
a student on its teacher's frames, and on a segmenter by which real patches are found. They are stages of the same
experiment and are trained first where they are missing, so that one command does it all.
"""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pipelines.data.disk.files import sha256_of
from pipelines.data.sampling.batches import Crops, Draws, largest_height
from pipelines.data.sampling.paired_batches import PairedBatches
from pipelines.data.sampling.unpaired_batches import UnpairedBatches
from pipelines.engine.checkpoint_files import is_finished, resolve_checkpoint, settings_in
from pipelines.engine.checkpoints import load_tensors
from pipelines.engine.launch import Machine
from pipelines.engine.processes import ALONE, Processes
from pipelines.engine.session import Session
from pipelines.errors import CheckpointError, NoInputsError, UserError
from pipelines.experiment.arms import ARMS
from pipelines.experiment.elsewhere import refuse_missing_aids
from pipelines.experiment.identity import translator_inputs
from pipelines.experiment.trained import build_translator, finished_translator, load_segmenter
from pipelines.experiment.translators import UNGUIDED, AnyTranslatorSettings, GuidanceSettings
from pipelines.experiment.workspace import Workspace
from pipelines.stages.training.perceptual_loss import perceptual_loss
from pipelines.stages.training.student_training import real_patches, teach, teacher_features, translated_batches
from pipelines.stages.training.style_encoder import style_encoder
from pipelines.stages.training.train_segmenter import train_segmenter
from pipelines.stages.training.training_run import TrainingJob, filled_pool, note, refuse_uneven_batches, train_run
from pipelines.stages.translating.layouts import label_table
from pipelines.stages.translating.translate_experiment import translate_experiment
from translate.guidance import Guidance
from translate.methods.translator_training import LearnsFrom, TranslatorTraining


def train_translator(workspace: Workspace, seed: int, session: Session) -> Path:
    """Train (or carry on training) the translator that serves `seed`, and what it builds on; return its run folder."""
    settings, processes = workspace.experiment.translator, session.machine.processes
    refuse_uneven_batches("translator.batch", settings.batch, processes)
    refuse_statistics_of_parts(settings, processes)
    seed = workspace.translator_seed(seed)
    refuse_missing_aids(workspace, seed)
    inputs = translator_inputs(workspace, seed)  # refuses what is missing before anything is trained
    if settings.initial == UNGUIDED:
        train_translator(workspace.unguided(), seed, session)
    if settings.guided_by is not None:
        if settings.guided_by.label_weight > 0:
            workspace.sets.learnable(workspace.source)  # before the expert is trained
        train_expert(workspace, settings.guided_by, seed, session)
    if settings.learns_from == "translated":
        teach(workspace, seed, session)
        if settings.finds_real_patches and settings.encoder in ARMS:
            train_segmenter(workspace, seed, settings.encoder, session)
    run = workspace.translator(seed)
    job = TrainingJob(
        run,
        inputs,
        settings,
        f"train {settings.method}{workspace.among_others(run)}, seed {seed}",
        lambda: starting_translator(workspace, seed, session.machine),
        lambda: BATCHES[settings.learns_from](workspace, seed, processes),
    )
    return train_run(job, session)


def train_expert(workspace: Workspace, guidance: GuidanceSettings, seed: int, session: Session) -> None:
    """Train the arm that guides, where it is missing; an expert from elsewhere is there already."""
    arm = workspace.expert_arm(guidance)
    if arm is None:
        return
    its = workspace.expert_workspace(arm)
    if arm == "translated" and session.machine.processes.world_size > 1:
        if not is_finished(its.segmenter(seed, arm)):
            raise UserError(
                f"translator.guidance.expert is {arm!r}, which is not trained yet and learns from frames that one "
                "process translates; run `sim2real translate train` without torchrun until the expert is there, or "
                "choose another expert"
            )
    elif arm == "translated":
        train_translator(its, seed, session)
        translate_experiment(its, seed, session)
    train_segmenter(its, seed, arm, session)


def starting_translator(workspace: Workspace, seed: int, machine: Machine) -> TranslatorTraining:
    """The method as its training begins: weights drawn or taken over, its expert, if any, at hand."""
    settings = workspace.experiment.translator
    collaborators: dict[str, Any] = {}
    if settings.guided_by is not None:
        collaborators["guidance"] = load_guidance(workspace, settings.guided_by, seed, machine)
    if settings.wants_perceptual_loss:
        collaborators["perceptual"] = perceptual_loss(settings, workspace.translator(seed), machine.processes)
    if settings.wants_style_encoder:
        collaborators["encoder"] = style_encoder(settings, workspace.translator(seed), machine.processes)
    if settings.learns_from == "translated":
        collaborators["real"] = real_patches(workspace, seed, machine)
        collaborators["teacher"] = teacher_features(workspace, machine)
    method = build_translator(settings, seed, **collaborators)
    method.join(machine.processes.peers())
    if settings.initial == UNGUIDED:
        take_over(method, finished_translator(workspace.unguided(), seed), machine.processes)
    elif settings.initial is not None:
        take_over(method, Path(settings.initial), machine.processes)
    return method


def refuse_statistics_of_parts(settings: AnyTranslatorSettings, processes: Processes) -> None:
    """UserError where several processes would each normalise their own part of a batch: what is learnt would change."""
    if processes.world_size > 1 and getattr(settings, "norm", "instance") == "batch":
        raise UserError(
            f'translator.norm is "batch", by which each of {processes.world_size} processes would normalise its own '
            'part of a batch; set it to "instance", or start one process'
        )


def load_guidance(workspace: Workspace, guidance: GuidanceSettings, seed: int, machine: Machine) -> Guidance:
    """The guidance with its trained expert."""
    arm = workspace.expert_arm(guidance)
    path = Path(guidance.expert) if arm is None else workspace.expert_workspace(arm).segmenter(seed, arm)
    expert, _, _ = load_segmenter(path, machine)
    return Guidance(expert, Guidance.Settings(**guidance.declared_values()))


def take_over(method: TranslatorTraining, path: Path, processes: Processes = ALONE) -> None:
    """Fill a fresh method's networks with the weights of a translator's run folder or checkpoint, and say which of them
    it has none of.

    Raises:
        CheckpointError: Damaged, not a translator, or of another architecture.
    """
    checkpoint = resolve_checkpoint(path)
    settings_in(checkpoint, "translator")
    try:
        absent = method.start_from(load_tensors(checkpoint))
    except ValueError as error:
        raise CheckpointError(f"translator.initial: {checkpoint}: {error}") from error
    if absent:
        print(
            f"translator.initial: {checkpoint} has no {' and no '.join(absent)}: the weights of these are drawn anew",
            file=processes.stderr(),
        )


def unpaired_batches(workspace: Workspace, seed: int, processes: Processes = ALONE) -> UnpairedBatches:
    """Crops of all source frames and all target frames, with the labels that guidance needs."""
    settings = workspace.experiment.translator
    guidance = settings.guided_by
    kept_height = largest_height(settings.height, settings.scale[1])
    source_labels = guidance is not None and guidance.label_weight > 0
    labelled_target = None
    if guidance is not None and guidance.task_weight > 0:
        if not workspace.labelled_target:
            raise NoInputsError("no target frame has a label map; guidance.task_weight needs a few")
        few = workspace.labelled_subset(seed)
        labelled_target = filled_pool("labelled target", few, kept_height, labels=True, processes=processes)
    return UnpairedBatches(
        filled_pool("source", workspace.source, kept_height, source_labels, processes),
        filled_pool("target", workspace.target, kept_height, processes=processes),
        Draws(seed, settings.batch, processes.share_of(settings.batch)),
        Crops(settings.height, (settings.crop, settings.crop), settings.scale, settings.flip),
        source_labels,
        labelled_target,
    )


def paired_batches(workspace: Workspace, seed: int, processes: Processes = ALONE) -> PairedBatches:
    """Crops of the labelled target frames that the experiment allows itself, with their label and instance maps.

    Which instance maps were found is no setting: the run folder notes it, and goes on with the same.

    Raises:
        NoInputsError: No target frame has a label map.
        ImageError: A file cannot be used, or holds labels that its encoding does not have; it is named.
    """
    settings = workspace.experiment.translator
    if not workspace.labelled_target:
        raise NoInputsError(f"no target frame has a label map; {settings.method} learns from labelled target frames")
    pool = filled_pool(
        "labelled target",
        workspace.labelled_subset(seed),
        largest_height(settings.height, settings.scale[1]),
        labels=True,
        processes=processes,
    )
    batches = PairedBatches(
        pool,
        Draws(seed, settings.batch, processes.share_of(settings.batch)),
        Crops(settings.height, settings.crop, settings.scale, settings.flip),
        instances=settings.instances,
        table=label_table(settings.labels),
    )
    batches.read_instances()
    hashes = [sha256_of(batches.instance_files[index]) for index in sorted(batches.instance_files)]
    found = hashlib.sha256("".join(hashes).encode()).hexdigest() if hashes else None
    if processes.leads:
        note(workspace.translator(seed), "instance_maps", found)
    return batches


BATCHES: dict[LearnsFrom, Callable[[Workspace, int, Processes], Callable[[int], Any]]] = {
    "unpaired": unpaired_batches,
    "paired": paired_batches,
    "translated": translated_batches,
}
"""Makers of batches by what a method learns from."""
