"""An experiment at work: the frames that it names, opened, and where each stage puts its output.

RUN/frames/...               what toy world drew, where the experiment uses it
RUN/seed-S/translator/       run folder
RUN/seed-S/translated/       data set: the labelled source frames, translated
RUN/seed-S/pseudo_labels/    what the teachers of an adapted arm say of the target frames, where its method asks first
RUN/seed-S/ARM/              run folder of a segmenter; ARM is source_only, translated_net, oracle or few_labels
RUN/seed-S/teacher/          the source frames as a student's teacher translates them, where they are not there already
RUN/student/                 translator, translated frames and net of the student that learns from the translator above
RUN/student/target_to_source/    the student of its way back, and what it learns from
RUN/unguided/                translator and translated net without guidance, where the guided ones build on them
RUN/evaluation/NAME/         of label maps that something else predicted, from a folder NAME
RUN/results.json results.md report.html features.json features.html
RUN/variants/NAME/           of each variant: translator, translated frames, translated net; what is the same is shared
"""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Literal

from pipelines.data.disk.manifest import MANIFEST
from pipelines.data.frames import AnyFrameSetSettings, FrameSet
from pipelines.data.selection.subset import labelled_subset
from pipelines.errors import NoInputsError, UserError
from pipelines.experiment.arms import ARMS, EXPERT, arm_named
from pipelines.experiment.experiment import Experiment
from pipelines.experiment.opened_sets import OpenedSets
from pipelines.experiment.translators import UNGUIDED, GuidanceSettings, cannot_teach

STUDENT = "student"
"""Folder of all that is a student's."""


class Workspace:
    """One experiment, the data folder, and the folder that everything is written to.

    Args:
        experiment: The settings.
        data: Folder that the sets' roots start from.
        run: Folder of the experiment.
        shared: Folder of what does not depend on the translator (drawn frames, arms without translated frames), where
            several variants of an experiment share it; None: `run`.
        stage_one: Folder of translator and translated frames, where another variant has the same; None: `run`.
        sets: The data sets, where other workspaces of the command have opened them (`beside`); None: to be opened.
        part: Which of the experiment's frames it is evaluated on.
    """

    def __init__(
        self,
        experiment: Experiment,
        data: Path,
        run: Path,
        shared: Path | None = None,
        stage_one: Path | None = None,
        sets: OpenedSets | None = None,
        part: Literal["validation", "test"] = "validation",
    ) -> None:
        self.experiment, self.data, self.run = experiment, data, run
        self.shared, self.stage_one = shared or run, stage_one or run
        self.part = part
        self.sets = sets or OpenedSets(data, self.shared)

    def beside(
        self, experiment: Experiment, run: Path, shared: Path | None = None, stage_one: Path | None = None
    ) -> "Workspace":
        """Another experiment on the same data: what is opened and known of it already serves both."""
        return Workspace(experiment, self.data, run, shared, stage_one, self.sets, self.part)

    def on_part(self, name: str) -> str:
        """A file or folder of what is found by evaluation: its name, with "_test" where it is on the test frames."""
        return f"{name}_test" if self.part == "test" else name

    def on_test(self) -> "Workspace":
        """This experiment, evaluated on its test frames in the place of the validation frames.

        Raises:
            UserError: It has none.
        """
        if not self.experiment.test:
            raise UserError(f"--test: experiment {self.experiment.name} has no [[test]] sets; add one to its config")
        return Workspace(self.experiment, self.data, self.run, self.shared, self.stage_one, self.sets, part="test")

    @cached_property
    def by_name(self) -> "Workspace":
        """The same, for a look ahead: of data sets only names are looked at, and nothing is written."""
        sets = OpenedSets(self.data, self.shared, by_name=True)
        return Workspace(self.experiment, self.data, self.run, self.shared, self.stage_one, sets, self.part)

    def translator(self, seed: int) -> Path:
        """Run folder of the translator that serves `seed`."""
        return self.stage_one / f"seed-{self.translator_seed(seed)}" / "translator"

    def translator_seed(self, seed: int) -> int:
        """The seed of the translator that serves `seed`."""
        return self.experiment.compare.seeds[0] if self.experiment.compare.one_translator else seed

    def translated(self, seed: int) -> Path:
        """The translated data set that serves `seed`."""
        return self.translator(seed).parent / "translated"

    def finished_translation(self, seed: int) -> Path:
        """The folder of the translated set as an absolute path, of a set that is there.

        Raises:
            UserError: It is not, or not to its end.
        """
        folder = self.translated(seed).absolute()
        if not (folder / MANIFEST).exists():
            command = f"sim2real translate experiment --seed {seed}"
            raise UserError(f"{folder}: no translated frames yet; run `{command}` first")
        return folder

    def segmenter(self, seed: int, arm: str) -> Path:
        """Run folder of one arm's segmenter."""
        places = {"data": self.shared, "translator": self.stage_one, "variant": self.run}
        return places[ARMS[arm].belongs_to] / f"seed-{seed}" / (ARMS[arm].folder or arm)

    def pseudo_labels(self, seed: int) -> Path:
        """The labels that an adapted arm's teachers gave to the target frames before it learnt from them."""
        return self.run / f"seed-{seed}" / "pseudo_labels"

    def among_others(self, run: Path) -> str:
        """Where a run folder is, for lines of progress of commands that make many: " in variants/fda"; empty for the
        experiment's own.
        """
        folder = run.parents[1]
        own = folder == self.shared or not folder.is_relative_to(self.shared)
        return "" if own else f" in {folder.relative_to(self.shared)}"

    @property
    def translates(self) -> bool:
        """Whether an arm of the comparison learns from translated frames."""
        return self.experiment.translates

    @cached_property
    def source(self) -> list[FrameSet]:
        """The synthetic frames that are used; their labels tell no more classes apart than those of validation do."""
        return self.merging(self.sets.open(self.experiment.used_source))

    @cached_property
    def labelled_source(self) -> list[FrameSet]:
        """The synthetic frames that have label maps.

        Raises:
            NoInputsError: There are none, or those of a set show no class.
        """
        sets = _only_labelled(self.source)
        if not sets:
            raise NoInputsError("no source frame has a label map; the segmenter has nothing to learn from")
        return self.sets.learnable(sets)

    @cached_property
    def target(self) -> list[FrameSet]:
        """The real training frames, with the classes of `source`."""
        return self.merging(self.sets.open(self.experiment.target))

    @cached_property
    def labelled_target(self) -> list[FrameSet]:
        """The real training frames that have label maps; there may be none."""
        return _only_labelled(self.target)

    def labelled_subset(self, seed: int) -> list[FrameSet]:
        """The labelled target frames that anything but the oracle may learn from (`labelled_target`).

        Raises:
            UserError: There are fewer than it says, or none of that name.
            NoInputsError: Those of a set show no class.
        """
        wanted = self.experiment.labelled_target
        few = labelled_subset(self.labelled_target, wanted, self.translator_seed(seed), self.data)
        return self.sets.learnable(few)

    def target_labels(self, seed: int, arm: str) -> list[FrameSet]:
        """The labelled target frames that an arm's share of them is drawn from; errors as of `labelled_subset`."""
        if ARMS[arm].sees_all_labels:
            return self.sets.learnable(self.labelled_target)
        return self.labelled_subset(seed)

    @cached_property
    def validation(self) -> list[FrameSet]:
        """The real labelled frames for evaluation: of `on_test` those of the test sets."""
        return self.sets.open(self.validation_settings)

    @property
    def validation_settings(self) -> tuple[AnyFrameSetSettings, ...]:
        """The settings of the sets of `validation`."""
        return self.experiment.test if self.part == "test" else self.experiment.validation

    def merging(self, sets: Sequence[FrameSet]) -> list[FrameSet]:
        """The sets with their labels as the experiment learns them: see `Experiment.class_groups`."""
        groups = self.experiment.class_groups
        return [frames.merging(groups) for frames in sets]

    def expert_arm(self, guidance: GuidanceSettings) -> str | None:
        """The arm that guides; None for a segmenter from elsewhere. UserError if it is neither an arm nor a path."""
        return arm_named(EXPERT, guidance.expert)

    def expert_workspace(self, arm: str) -> "Workspace":
        """Where an arm that guides is trained: one of translated frames learns from an unguided translator."""
        return self.unguided() if ARMS[arm].learns_from is None else self

    def student(self, seed: int) -> "Workspace":
        """This experiment with a student of its translator, that of `seed`, in the translator's place.

        Raises:
            UserError: The experiment has no [student], or one that cannot learn from its translator.
        """
        if self.experiment.student is None:
            raise UserError(
                "the experiment has no [student] to learn from its translator; add the table, "
                'such as [student] with generator = "unet_light"'
            )
        why = cannot_teach(self.experiment.student, self.experiment.translator.model_dump(mode="json"))
        if why is not None:
            raise UserError(f"the teacher of [student] is the experiment's translator: {why}")
        teacher = str(self.translated(seed).absolute())
        translator = self.experiment.student.model_copy(update={"teacher": teacher})
        experiment = self.experiment.model_copy(update={"translator": translator, "student": None})
        return self.beside(experiment, self.stage_one / STUDENT, self.shared)

    def student_back(self, seed: int) -> "Workspace":
        """A student of the translator's way from target to source: this experiment with its sets the other way round.

        Nothing guides it, for target labels are few or none. An arm by whose features real patches are found is that of
        this experiment, trained already: there it would be another.

        Raises:
            UserError: As of `student`.
        """
        there = self.student(seed)
        settings = there.experiment.translator.unguided()
        encoder = settings.encoder
        changed = {
            "teacher": str(self.translator(seed).absolute()),
            "teacher_direction": "target_to_source",
            "encoder": str(self.segmenter(seed, encoder).absolute()) if encoder in ARMS else encoder,
        }
        swapped = {
            "translator": settings.model_copy(update=changed),
            "source": self.experiment.target,
            "source_sets": None,
            "target": self.experiment.used_source,
        }
        return self.beside(there.experiment.model_copy(update=swapped), there.run / "target_to_source", self.shared)

    def teachers_frames(self, seed: int) -> Path:
        """Where a student's teacher, given as a translator, translates the source frames to."""
        return self.translator(seed).parent / "teacher"

    def unguided(self) -> "Workspace":
        """This experiment with a translator that nothing guides, in a folder of its own."""
        experiment = self.experiment.with_translator(self.experiment.translator.unguided())
        return self.beside(experiment, self.stage_one / UNGUIDED, self.shared)


def _only_labelled(sets: Sequence[FrameSet]) -> list[FrameSet]:
    """The labelled frames of each set; sets without any are left out."""
    return [labelled for labelled in (frames.only_labelled() for frames in sets) if len(labelled)]
