"""What an experiment becomes by each of its variants: whom one builds on, where it is kept, what it shares.

A variant is the experiment with a few settings changed, and may be repeated with several numbers of labelled target
frames. What depends on the translator is a variant's own, unless an earlier one has the same translator and frames.
"""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pipelines.errors import UserError
from pipelines.experiment.arms import REFERENCES, few_labels_name
from pipelines.experiment.experiment import Experiment, VariantSettings
from pipelines.experiment.identity import segmenter_inputs, translation_inputs
from pipelines.experiment.workspace import Workspace


@dataclass(frozen=True)
class Variant:
    """One row of a comparison."""

    settings: VariantSettings
    experiment: Experiment
    family: str
    """The name of the table in the config that it comes from; several numbers of labels make a family."""
    labels: int | None = None
    """How many labelled target frames it may learn from, where the family tries several; 0: all that there are."""

    @property
    def needs(self) -> tuple[str, ...]:
        """The variants whose trained networks it starts from, learns from, or averages; those of the config alone."""
        segmenter, settings = self.experiment.segmenter, self.settings
        teacher = getattr(self.experiment.translator, "teacher", None)
        named = (settings.start_from, teacher, segmenter.initial, *segmenter.teachers, *settings.average)
        return tuple(name for name in named if name is not None)

    @property
    def leaves_a_translator(self) -> bool:
        """Whether its own training begins with a translator."""
        return self.settings.leaves_a_translator(self.experiment)


@dataclass
class Variants:
    """An experiment's variants by name, in the order in which one may build on another."""

    base: Workspace
    named: dict[str, Variant]
    only: tuple[str, ...] = ()
    """The rows, or families of them, that are asked for; empty: all. What these need is trained, too."""
    _workspaces: dict[tuple[str, int], Workspace] = field(default_factory=dict)

    def __post_init__(self) -> None:
        known = dict.fromkeys([*(variant.family for variant in self.named.values()), *self.named])
        for name in self.only:
            if name not in known:
                close = difflib.get_close_matches(name, known, 1)
                meant = f"did you mean {close[0]}?" if close else f"expected some of {', '.join(known)}"
                raise UserError(f"--only {name}: there is no such variant; {meant}")

    def rows(self) -> list[str]:
        """The names of those that are asked for, in the config's order."""
        return [
            name for name, variant in self.named.items() if not self.only or {name, variant.family} & set(self.only)
        ]

    def needed(self, name: str) -> list[str]:
        """The variants that must be trained before this one."""
        return [one for one in self.named[name].needs if one in self.named]

    def budgets(self) -> list[int]:
        """The numbers of labelled target frames that are tried, ascending; all that there are (0) last."""
        asked = (self.named[name].labels for name in self.rows())
        found = {labels for labels in asked if labels is not None}
        return sorted(found, key=lambda labels: (labels == 0, labels))

    def arms(self, name: str) -> dict[str, tuple[Workspace, str]]:
        """The comparison's own arms that a variant's networks start or learn from, by what it calls them.

        They are those of the rows beside it, with their settings, whatever the variant changes: each an experiment and
        the arm there. A variant with a number of labels finds in "few_labels" the network of so many labels alone.
        """
        variant, found = self.named[name], {}
        for named in (*variant.needs, *variant.experiment.translator.guides):
            if named in REFERENCES:
                found[named] = self.base, named
            elif named == "few_labels" and variant.labels is not None:
                its = (self.few_labels(variant.labels), "few_labels") if variant.labels else (self.base, "oracle")
                found[named] = its
        return found

    def averaged(self, name: str, seed: int) -> list[tuple[Workspace, str]]:
        """The segmenters that a variant is the mean of, each an experiment and the arm there; ask when these are
        trained.
        """
        rows = {one: (self.workspace(one, seed), "translated") for one in self.needed(name)}
        return [(self.arms(name) | rows)[one] for one in self.named[name].settings.average]

    def workspace(self, name: str, seed: int) -> Workspace:
        """A variant's folders; ask when those that it needs are trained, by whose checkpoints it is known."""
        if (name, seed) not in self._workspaces:
            self._workspaces[name, seed] = self._built(name, seed)
        return self._workspaces[name, seed]

    def folder(self, name: str) -> Path:
        """Where all is kept that is a variant's own."""
        return self.base.run / "variants" / name

    def few_labels(self, labels: int) -> Workspace:
        """The folders of the network that learns from so many labelled target frames and from nothing else."""
        experiment = self.base.experiment.model_copy(update={"labelled_target": labels or None})
        folder = self.folder(few_labels_name(labels))
        return self.base.beside(experiment, folder, self.base.run, folder)

    def _built(self, name: str, seed: int) -> Workspace:
        experiment, start_from = self.named[name].experiment, self.named[name].settings.start_from
        if start_from is not None:
            initial = str(self.workspace(start_from, seed).translator(seed).absolute())
            experiment = experiment.with_translator(experiment.translator.model_copy(update={"initial": initial}))
        teacher = getattr(experiment.translator, "teacher", None)
        if teacher in self.named:
            frames = str(self.workspace(teacher, seed).translated(seed).absolute())
            experiment = experiment.with_translator(experiment.translator.model_copy(update={"teacher": frames}))
        experiment = self._with_named_segmenters(experiment, seed, self.arms(name))
        folder, shared = self.folder(name), self.base.run
        experiment = self._guided_by_the_arms_beside_it(experiment, name, seed)
        its = self.base.beside(experiment, folder, shared)
        if not self.named[name].leaves_a_translator:
            return its
        inputs = translation_inputs(its, seed)
        for (earlier, of_seed), other in self._workspaces.items():
            if of_seed != seed or earlier == name or translation_inputs(other, seed) != inputs:
                continue
            # The network of few labels lies beside the translator.
            few = "few_labels" in (*self.named[name].needs, *experiment.translator.guides)
            if not few or segmenter_inputs(other, seed, "few_labels") == segmenter_inputs(its, seed, "few_labels"):
                return self.base.beside(experiment, folder, shared, other.stage_one)
        return its

    def _guided_by_the_arms_beside_it(self, experiment: Experiment, name: str, seed: int) -> Experiment:
        """The experiment with the base's run folder in the place of an arm that guides its translator, where with the
        variant's own settings the arm would be another network, in the same folder.
        """
        its, translator = self.base.beside(experiment, self.folder(name), self.base.run), experiment.translator
        other = {
            arm: str(self.base.segmenter(seed, arm).absolute())
            for arm in translator.guides
            if arm in REFERENCES and segmenter_inputs(its, seed, arm) != segmenter_inputs(self.base, seed, arm)
        }
        if translator.guided_by is not None and translator.guided_by.expert in other:
            guidance = translator.guided_by.model_copy(update={"expert": other[translator.guided_by.expert]})
            translator = translator.model_copy(update={"guidance": guidance})
        if getattr(translator, "encoder", None) in other:
            translator = translator.model_copy(update={"encoder": other[translator.encoder]})
        return experiment.with_translator(translator)

    def _with_named_segmenters(
        self, experiment: Experiment, seed: int, arms: Mapping[str, tuple[Workspace, str]]
    ) -> Experiment:
        """The experiment with run folders in the place of the rows that its segmenter starts or learns from."""

        def run(name: str) -> str:
            if name in arms:
                its, arm = arms[name]
                return str(its.segmenter(seed, arm).absolute())
            if name not in self.named:
                return name
            return str(self.workspace(name, seed).segmenter(seed, "translated").absolute())

        segmenter = experiment.segmenter
        initial = None if segmenter.initial is None else run(segmenter.initial)
        named = {"teachers": tuple(map(run, segmenter.teachers)), "initial": initial}
        return experiment.model_copy(update={"segmenter": segmenter.model_copy(update=named)})


def open_variants(
    base: Workspace, rows: Mapping[str, tuple[VariantSettings, Experiment]], only: tuple[str, ...] = ()
) -> Variants:
    """The variants of a config, as `pipelines.experiment.config.read_variants` gives them; UserError as of `only`."""
    named = {
        name: Variant(settings, experiment, settings.name, settings.rows[name])
        for name, (settings, experiment) in rows.items()
    }
    return Variants(base, named, only)
