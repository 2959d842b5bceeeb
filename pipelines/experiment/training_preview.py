"""What a training would do, said before it does it: frames and runs are looked up, and nothing is written.

A full-scale experiment takes days; whether its folders, labels and teachers are there shows in seconds. No frame's
content is read (`sim2real data check` does so), and nothing here waits for torch. What a dry run refuses, the command
itself refuses before it trains anything (`refuse_missing`): both walk through the same trainings.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from pipelines.data.disk.files import refuse_unwritable_folder
from pipelines.data.frames import AnyFrameSetSettings
from pipelines.data.readers.drawn import ToyWorldSettings
from pipelines.data.selection.subset import count_wanted, names_in, refuse_more_than_labelled
from pipelines.engine.checkpoint_files import is_finished, list_checkpoints, step_of
from pipelines.errors import NoInputsError, UserError
from pipelines.experiment.arms import (
    ARMS,
    INITIAL,
    REFERENCES,
    TEACHERS,
    adaptation_title,
    arm_named,
    few_labels_name,
    learns_from_labels,
)
from pipelines.experiment.elsewhere import refuse_missing_aids, refuse_missing_weights, segmenter_elsewhere
from pipelines.experiment.experiment import PARTS, Experiment
from pipelines.experiment.identity import segmenter_begun_otherwise, translator_begun_otherwise
from pipelines.experiment.network_study import TRAINED_ON, studied_networks
from pipelines.experiment.segmenters import SegmenterSettings
from pipelines.experiment.teachers import teachers_checkpoint, teachers_network, teachers_pairs
from pipelines.experiment.translators import UNGUIDED
from pipelines.experiment.variants import Variants
from pipelines.experiment.workspace import Workspace

LAST_LINE = "dry run: nothing was trained"


def preview(workspace: Workspace, trainings: Iterable[str], scored: bool = True) -> list[str]:
    """What a command would do, in lines: the data sets, and the trainings in their order, each once.

    Args:
        workspace: The experiment.
        trainings: Of `trainings_of_...`; what several build on is trained once.
        scored: Whether what is trained is evaluated, which takes labels.

    Raises:
        UserError: A data set is missing that may be read, or one of `trainings`' errors.
        NoInputsError: There is nothing to learn from, or nothing to evaluate on.
        StorageError: There can be no such run folder, or nothing may be written there.
    """
    refuse_unwritable_folder(workspace.run)
    workspace = workspace.by_name
    lines = _sets(workspace, ("source", "target", *((workspace.part,) if scored else ())))
    if scored:
        _refuse_nothing_to_score(workspace)
    return list(dict.fromkeys([*lines, *trainings]))


def refuse_missing(trainings: Iterable[str]) -> None:
    """UserError, NoInputsError, CheckpointError where one of `trainings_of_...` lacks what it builds on."""
    for _ in trainings:
        pass


def trainings_of_arm(workspace: Workspace, seed: int, arm: str) -> Iterator[str]:
    """A line for each training of `sim2real segment train`.

    Raises:
        UserError: Weights or a teacher are missing, or fewer frames have labels than are asked for.
        NoInputsError: There is nothing to learn from.
    """
    yield from _trainings(workspace.by_name, seed, arm)


def trainings_of_translator(workspace: Workspace, seed: int) -> Iterator[str]:
    """A line for each training of `sim2real translate train`.

    Raises:
        UserError: An expert, a teacher, a translator to start from or a file of weights is missing.
        NoInputsError: There is nothing to learn from.
    """
    yield from _experiments_translator(workspace.by_name, seed)


def trainings_of_comparison(workspace: Workspace) -> Iterator[str]:
    """A line for each training of `sim2real compare`; errors as of an arm's and the translator's."""
    workspace = workspace.by_name
    for seed in workspace.experiment.compare.seeds:
        for arm in REFERENCES:
            yield from _trainings(workspace, seed, arm)
        if workspace.translates:
            yield from _experiments_translator(workspace, seed)
        yield from _trainings(workspace, seed, "translated")


def trainings_of_study(workspace: Workspace, augmented: Experiment) -> Iterator[str]:
    """A line for each training of `sim2real segment study`; `augmented` is that of `studied_networks`."""
    for one in studied_networks(workspace.by_name, augmented):
        yield from _trainings(one.workspace, one.seed, TRAINED_ON[one.arm], one.arm)


def trainings_of_distillation(workspace: Workspace, seed: int, segmenters: bool, real_to_sim: bool) -> Iterator[str]:
    """A line for each training of `sim2real translate distill`.

    Args:
        workspace: An experiment with a [student].
        seed: Whose translator is the teacher.
        segmenters: Whether stage two is trained on the frames of teacher and student.
        real_to_sim: Whether a student of the way back is trained, too.

    Raises:
        UserError: It has no [student]; else as of an arm's and the translator's.
        NoInputsError: There is nothing to learn from.
    """
    workspace = workspace.by_name
    student = workspace.student(seed)
    yield from _experiments_translator(workspace, seed)
    refuse_missing_aids(student, seed)  # its teacher is trained first
    yield from _translators(student, seed, "student")
    if segmenters:
        yield from _trainings(workspace, seed, "oracle")
        for title, its in (("translator", workspace), ("student", student)):
            yield from _trainings(its, seed, "translated", f"translated by the {title}")
    if real_to_sim:
        yield from _translators(workspace.student_back(seed), seed, "student of the way back")
        yield from _trainings(workspace, seed, "source_only")


def trainings_of_variants(variants: Variants) -> Iterator[str]:
    """A line for each training of `sim2real variants`, in their order; errors as of an arm's and the translator's."""
    base = variants.base.by_name
    variants = replace(variants, base=base)
    for seed in base.experiment.compare.seeds:
        for arm in REFERENCES:
            yield from _trainings(base, seed, arm)
        for labels in variants.budgets():
            if labels:
                yield from _trainings(variants.few_labels(labels), seed, "few_labels", few_labels_name(labels))
        for name in variants.rows():
            yield from _rows(variants, seed, name)


def _rows(variants: Variants, seed: int, name: str) -> Iterator[str]:
    """One variant's training, after those of what it needs."""
    variant = variants.named[name]
    for needed in variants.needed(name):
        yield from _rows(variants, seed, needed)
    if variant.settings.average:
        yield f"{'nothing to train':<16}  {name}, seed {seed}: the mean of {', '.join(variant.settings.average)}"
        return
    its = variants.base.beside(variant.experiment, variants.folder(name), variants.base.run)
    if variant.leaves_a_translator:
        translator = its.experiment.translator
        refuse_missing_aids(its, seed)
        if getattr(translator, "teacher", None) not in variants.named:
            _refuse_missing_teacher(its, seed)
        yield (
            f"{'stage one':<16}  {name}, seed {seed}: {translator.method}, {translator.steps} steps, unless an earlier "
            "variant has the same translator"
        )
    if variant.settings.train_segmenter:
        yield from _trainings(its, seed, "translated", name, among=(*variants.named, *variants.arms(name)))


def _refuse_nothing_to_score(workspace: Workspace) -> None:
    if not _drawn(workspace.validation_settings) and not any(
        len(sets.only_labelled()) for sets in workspace.validation
    ):
        raise NoInputsError("no validation frame has a label map; there is nothing to evaluate on")


def _sets(workspace: Workspace, read: Collection[str]) -> list[str]:
    """A line for each data set; those of toy world are drawn when they are needed, which is not now.

    Args:
        workspace: The experiment.
        read: The parts whose sets the command may read; of the others it is told where one is missing.
    """
    lines, experiment = [], workspace.experiment
    for part in PARTS:
        for settings in experiment.used_source if part == "source" else getattr(experiment, part):
            try:
                found = _found(workspace, settings)
            except UserError as error:
                if part in read:
                    raise
                found = f"not needed for this, and cannot be read: {error}"
            lines.append(f"{part:<16}  {settings.name}: {found}")
    return lines


def _found(workspace: Workspace, settings: AnyFrameSetSettings) -> str:
    """The frames of a set, in words."""
    if isinstance(settings, ToyWorldSettings):
        return f"{settings.used} frames, drawn when needed"
    (frames,) = workspace.sets.open([settings])
    found = f"{len(frames)} frames, {len(frames.only_labelled())} with a label map"
    return found + "; those that cannot be used will be left out" * (settings.bad_frames == "leave_out")


def _experiments_translator(workspace: Workspace, seed: int) -> Iterator[str]:
    """The lines of `_translators` for an experiment's own, all that it needs from elsewhere being there."""
    refuse_missing_aids(workspace, workspace.translator_seed(seed))
    _refuse_missing_teacher(workspace, workspace.translator_seed(seed))
    yield from _translators(workspace, seed)


def _refuse_missing_teacher(workspace: Workspace, seed: int) -> None:
    """UserError, CheckpointError where a translator is a student of what is not there, or not of every source frame.

    Frames are looked for by name where all names are known: none is still to be drawn, none may be left out.
    """
    settings, source = workspace.experiment.translator, workspace.experiment.used_source
    if settings.learns_from != "translated":
        return
    made_here = teachers_checkpoint(workspace) is not None
    if not made_here and not _drawn(source) and all(one.bad_frames == "refuse" for one in source):
        teachers_pairs(workspace, seed)
    if settings.feature_weight > 0:
        teachers_network(workspace)


def _translators(workspace: Workspace, seed: int, title: str = "translator") -> Iterator[str]:
    """A line for a translator's training, after those of what it builds on."""
    settings, seed = workspace.experiment.translator, workspace.translator_seed(seed)
    if settings.initial == UNGUIDED:
        yield from _translators(workspace.unguided(), seed, "unguided translator")
    if (guidance := settings.guided_by) is not None:
        arm = workspace.expert_arm(guidance)
        if arm is not None:
            its = workspace.expert_workspace(arm)
            if ARMS[arm].learns_from is None:
                yield from _translators(its, seed, "unguided translator")
            yield from _trainings(its, seed, arm)
    if settings.learns_from == "translated" and settings.finds_real_patches and settings.encoder in ARMS:
        yield from _trainings(workspace, seed, settings.encoder)
    if settings.learns_from == "paired" or (guidance is not None and guidance.task_weight > 0):
        _refuse_more_labels_than_drawn(workspace, "few_labels")
        if not _drawn(workspace.experiment.target):
            if not workspace.labelled_target:
                raise NoInputsError("no target frame has a label map; the translator needs some to learn from")
            workspace.labelled_subset(seed)
    said = f"{title}, seed {seed}: {settings.method}, {settings.steps} steps"
    others = translator_begun_otherwise(workspace, seed)
    yield _line(workspace.translator(seed), others, f"{said}, batch {settings.batch}")


def _trainings(
    workspace: Workspace, seed: int, arm: str, name: str | None = None, among: Sequence[str] = ()
) -> Iterator[str]:
    """A line for one arm's training, after those of the arms that it starts or learns from.

    Args:
        workspace: Its experiment and folders.
        seed: Of the training.
        arm: Key of ARMS.
        name: What it is called; None: the arm's name.
        among: Names that `initial` and `teachers` may have and that have lines of their own.
    """
    settings = ARMS[arm].settings(workspace.experiment.segmenter)
    named = [(TEACHERS, teacher) for teacher in settings.teachers]
    if settings.initial is not None:
        named.insert(0, (INITIAL, settings.initial))
    for setting, needed in named:
        if needed in among:
            continue
        if arm_named(setting, needed) is not None:
            yield from _trainings(workspace, seed, needed)
        else:
            segmenter_elsewhere(setting, needed, settings.network if setting == INITIAL else None)
    before = list(dict.fromkeys(needed for _, needed in named))
    refuse_missing_weights(settings)
    width, height = settings.crop
    method = adaptation_title(settings.model_dump())
    how = f"{settings.network} by {method}" if method else settings.network
    after = f"; after {', '.join(before)}" if before else ""
    yield _line(
        workspace.segmenter(seed, arm),
        segmenter_begun_otherwise(workspace, seed, arm, among),
        f"{name or arm}, seed {seed}: {how}, {settings.steps} steps, batch {settings.batch} of {width}x{height}, from "
        f"{', '.join(_frames(workspace, seed, arm, settings))}{after}",
    )


def _line(run: Path, others: Sequence[str], training: str) -> str:
    """How far a training is, and what it is; `others` are the settings that it was begun with otherwise."""
    if others:
        return (
            f"{'other settings':<16}  {training}; {run} was begun otherwise ({', '.join(others[:3])}): the command "
            "refuses it, and sets it aside with --restart"
        )
    checkpoints = list_checkpoints(run / "checkpoints")
    state = f"at step {step_of(checkpoints[0])}" if checkpoints else "to be trained"
    return f"{'finished' if is_finished(run) else state:<16}  {training}"


def _frames(workspace: Workspace, seed: int, arm: str, settings: SegmenterSettings) -> list[str]:
    """What an arm learns from, in words; the errors are those of training, before it."""
    shares, experiment = ARMS[arm].shares(settings), workspace.experiment
    used = []
    if shares["translated"] > 0:  # each is of a labelled source frame
        most = "at most " * (settings.least_label_consistency is not None)
        used.append(f"{most}{_labelled_source(workspace)} translated frames")
    if shares["source"] > 0:
        used.append(f"{_labelled_source(workspace)} labelled source frames")
    if shares["target"] > 0 or (settings.adaptation is not None and learns_from_labels(settings.method)):
        used.append(_labelled_target(workspace, seed, arm))
    if settings.adaptation is not None:
        used.append(f"{_before_drawing(workspace, experiment.target)} target frames")
    return used


def _refuse_more_labels_than_drawn(workspace: Workspace, arm: str) -> None:
    """UserError where more labels are wanted than there will be, which is known before they are drawn, or the list of
    those that are wanted is not there.
    """
    wanted, settings = workspace.experiment.labelled_target, workspace.experiment.target
    if ARMS[arm].sees_all_labels or not _drawn(settings):
        return
    if isinstance(wanted, str):
        names_in(workspace.data / wanted)
    if not isinstance(wanted, int):
        return
    refuse_more_than_labelled(wanted, _before_drawing(workspace, settings, labelled=True))


def _labelled_source(workspace: Workspace) -> int:
    settings = workspace.experiment.used_source
    if _drawn(settings):
        return _before_drawing(workspace, settings, labelled=True)
    return sum(map(len, workspace.labelled_source))


def _labelled_target(workspace: Workspace, seed: int, arm: str) -> str:
    """So many labelled target frames; without their number where a list names some that are still to be drawn."""
    what, wanted, settings = "labelled target frames", workspace.experiment.labelled_target, workspace.experiment.target
    _refuse_more_labels_than_drawn(workspace, arm)
    if not _drawn(settings):
        if not workspace.labelled_target:
            raise NoInputsError("no target frame has a label map; the segmenter has nothing to learn from")
        return f"{sum(map(len, workspace.target_labels(seed, arm)))} {what}"
    labelled = _before_drawing(workspace, settings, labelled=True)
    if ARMS[arm].sees_all_labels or wanted is None:
        return f"{labelled} {what}"
    return what if isinstance(wanted, str) else f"{count_wanted(wanted, labelled)} {what}"


def _before_drawing(workspace: Workspace, settings: Sequence[AnyFrameSetSettings], labelled: bool = False) -> int:
    """How many frames sets have, or will have: of toy world that is known, and all will have labels."""
    found = workspace.sets.open([one for one in settings if not isinstance(one, ToyWorldSettings)])
    counts = [len(frames.only_labelled() if labelled else frames) for frames in found]
    return sum(counts) + sum(one.used for one in settings if isinstance(one, ToyWorldSettings))


def _drawn(settings: Sequence[AnyFrameSetSettings]) -> bool:
    """Whether toy world is among the sets; all its frames have labels."""
    return any(isinstance(one, ToyWorldSettings) for one in settings)
