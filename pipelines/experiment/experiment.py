"""What an experiment is: its frame sets, both stages' settings, and what it is compared with.

What belongs to the experiment is here; what belongs to the machine and the moment (device, workers, run folder) is an
option of the command line.
"""

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, JsonValue, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from pipelines.data.frames import AnyFrameSetSettings
from pipelines.data.readers.layout import FOLDER_NAMES, is_folder_name
from pipelines.experiment.arms import ARMS, REFERENCES, translates
from pipelines.experiment.segmenters import AugmentationSettings, NetworkName, SegmenterSettings
from pipelines.experiment.translators import AnyTranslatorSettings, CycleGANSettings, StudentSettings
from pipelines.settings import FilePath, Settings
from segment.class_groups import Groups, joined_groups


def _named(name: str) -> str:
    if not re.fullmatch("[a-z0-9_]+", name):
        raise ValueError(f"expected lower-case letters, digits and _, got {name!r}")
    return name


Name = Annotated[str, AfterValidator(_named)]
"""Part of a folder's name."""
PARTS = ("source", "target", "validation", "test")
"""What an experiment's frame sets are for."""


class TranslationSettings(Settings):
    """How the source frames are translated to disk."""

    height: PositiveInt | None = None
    """Translate at this height and come back to the frame's own size; absent: translate at the frame's own size."""


class CompareSettings(Settings):
    """How often the comparison is repeated."""

    seeds: tuple[NonNegativeInt, ...] = Field(default=(0,), min_length=1)
    one_translator: bool = False
    """Train the translator with the first seed only and share it, and with it the frames that `labelled_target` draws;
    otherwise every seed has its own."""

    @model_validator(mode="after")
    def _distinct_seeds(self) -> "CompareSettings":
        if len(set(self.seeds)) < len(self.seeds):
            raise ValueError(f"seeds {list(self.seeds)} hold one twice; equal seeds give equal results, not a spread")
        return self


class VariantSettings(Settings):
    """A change to the experiment, to be compared with other changes and with none: `sim2real variants`."""

    name: Name
    like: None = Field(default=None, exclude=True)
    """An earlier variant, with whose settings this one's begin: put in place when the file is read (`config_file`)."""
    settings: dict[str, JsonValue] = Field(default_factory=dict)
    """By dotted key, as `--set` takes them: { "translator.method" = "cut" }. What is the same for all rows of a
    table (`validation`, `test`, `compare.seeds`, …) is not to be changed."""
    start_from: str | None = None
    """An earlier variant, whose finished translator this one's begins with (`translator.initial`)."""
    train_segmenter: bool = True
    """Whether stage two learns from its frames; without, the translator alone is measured."""
    average: tuple[str, ...] = ()
    """Earlier variants that train a segmenter, or arms, of whose networks the probabilities are averaged; nothing is
    trained."""
    weights: tuple[PositiveFloat, ...] | None = None
    """How much each of these counts; absent: all alike."""
    flip: bool = False
    """Whether these look at the mirror image, too."""
    labels: tuple[PositiveInt | Literal["all"], ...] = ()
    """Repeat it with so many labelled target frames (`labelled_target`), each a row NAME_N_labels of its own."""

    @model_validator(mode="after")
    def _distinct_labels(self) -> "VariantSettings":
        if len(set(self.labels)) < len(self.labels):
            raise ValueError(f"variant {self.name}: labels {list(self.labels)} hold one twice; give each once")
        return self

    @model_validator(mode="after")
    def _an_average_trains_nothing(self) -> "VariantSettings":
        if not self.average:
            if self.weights is not None or self.flip:
                raise ValueError(f"variant {self.name}: weights and flip are for an average; name its variants too")
            return self
        if self.settings or self.start_from is not None or not self.train_segmenter:
            raise ValueError(
                f"variant {self.name} is an average of others and trains nothing; leave out what is not weights, flip "
                "and labels"
            )
        if len(set(self.average)) < max(len(self.average), 2):
            named = ", ".join(self.average)
            raise ValueError(
                f"variant {self.name} averages {named}; name two others at least, each once (`weights` say how much "
                "each counts)"
            )
        if self.weights is not None and len(self.weights) != len(self.average):
            raise ValueError(
                f"variant {self.name} has {len(self.weights)} weights for {len(self.average)} variants; give one each"
            )
        return self

    @property
    def rows(self) -> dict[str, int | None]:
        """The names of its rows in the table, each with its number of labelled frames (0: all; None: as ever)."""
        if not self.labels:
            return {self.name: None}
        return {f"{self.name}_{labels}_labels": 0 if labels == "all" else labels for labels in self.labels}

    @property
    def arms(self) -> tuple[str, ...]:
        """The arms that it may name, which are rows of its table: a number of labels has the network of these alone."""
        return (*REFERENCES, "few_labels") if self.labels else REFERENCES

    @property
    def leaves_a_segmenter(self) -> bool:
        """Whether a network of its own is there afterwards, for others to start from, to learn from or to average."""
        return self.train_segmenter and not self.average

    def leaves_a_translator(self, experiment: "Experiment") -> bool:
        """Whether its own training begins with a translator, `experiment` being what it makes of the others'."""
        return not self.average and (experiment.translates or not self.train_segmenter)


class NetworkStudySettings(Settings):
    """What `sim2real segment study` compares."""

    networks: tuple[NetworkName, ...] = Field(min_length=1)
    augmentation: dict[str, JsonValue] = Field(default_factory=dict)
    """Settings of the segmenter's augmentation, by name, that the augmented source frames are trained with:
    { blur = 0.3 }."""

    @model_validator(mode="after")
    def _distinct_networks(self) -> "NetworkStudySettings":
        if len(set(self.networks)) < len(self.networks):
            raise ValueError(f"networks {', '.join(self.networks)} name one twice")
        return self

    @model_validator(mode="after")
    def _augments_and_changes_nothing_else(self) -> "NetworkStudySettings":
        if other := sorted(self.augmentation.keys() - AugmentationSettings.model_fields.keys()):
            raise ValueError(
                f"augmentation.{other[0]} is no setting of the augmentation; expected some of "
                f"{', '.join(AugmentationSettings.model_fields)}"
            )
        return self


class Experiment(Settings):
    """All that decides an experiment's outcome."""

    name: Name
    include: tuple[()] = Field(default=(), exclude=True)
    """Files that this one builds on: put in place when the file is read (`config_file`)."""
    replace: tuple[()] = Field(default=(), exclude=True)
    """What of these files' lists and tables gives way to this file's own, likewise."""
    source: tuple[AnyFrameSetSettings, ...] = Field(min_length=1)
    """Synthetic frames. Sets without labels serve the translator alone."""
    source_sets: Annotated[tuple[str, ...], Field(min_length=1)] | None = None
    """Names of the source sets that are used, the others left aside: what a variant asks that learns from some of them.
    Absent: all."""
    target: tuple[AnyFrameSetSettings, ...] = Field(min_length=1)
    """Real training frames. Their labels serve the oracle, and the translated net only if `shares.target` says so."""
    validation: tuple[AnyFrameSetSettings, ...] = Field(min_length=1)
    """Real labelled frames on which every net is evaluated."""
    test: tuple[AnyFrameSetSettings, ...] = ()
    """Real labelled frames, of drives that no other set has, for the last look: nothing is chosen by them, and nothing
    looks at them but what is asked to (--test)."""
    labelled_target: int | float | FilePath | None = None
    """How many labels of target frames may be used, the oracle apart: a count (14), a fraction (0.1) or a file that
    lists frames, relative to --data. A smaller number's frames are among a larger's. Absent: all."""
    translator: AnyTranslatorSettings = CycleGANSettings()
    translation: TranslationSettings = TranslationSettings()
    student: StudentSettings | None = None
    """A light translator that learns from this one's frames: `sim2real translate distill`. Absent: none."""
    segmenter: SegmenterSettings = SegmenterSettings()
    compare: CompareSettings = CompareSettings()
    variant: tuple[VariantSettings, ...] = ()
    study: NetworkStudySettings | None = None

    @property
    def used_source(self) -> tuple[AnyFrameSetSettings, ...]:
        """The settings of the source sets that are used."""
        return tuple(frames for frames in self.source if self.source_sets is None or frames.name in self.source_sets)

    def with_translator(self, translator: AnyTranslatorSettings) -> "Experiment":
        """The same experiment with another translator."""
        return self.model_copy(update={"translator": translator})

    @property
    def translates(self) -> bool:
        """Whether an arm of the comparison learns from translated frames."""
        return translates(self.segmenter.model_dump())

    @property
    def class_groups(self) -> Groups:
        """The train ids that labels for evaluation cannot tell apart: each group is learnt and scored as one class."""
        return _merged_in(self.validation)

    @model_validator(mode="after")
    def _rows_of_a_crop_are_those_of_its_frame(self) -> "Experiment":
        """Here and not with the segmenter's settings: networks that were trained otherwise can still be opened."""
        chosen, adaptation = self.segmenter, self.segmenter.adaptation
        ignores = getattr(adaptation, "ignored_top", 0.0) or getattr(adaptation, "ignored_bottom", 0.0)
        if ignores and (chosen.scale != (1, 1) or chosen.crop[1] != chosen.height):
            raise ValueError(
                f"segmenter.crop is {chosen.crop[1]} high of frames {chosen.height} high at scales from "
                f"{chosen.scale[0]:g} to {chosen.scale[1]:g}, and adaptation.ignored_top and ignored_bottom are rows "
                f"of crops that are whole frames high; set segmenter.scale to [1, 1] and crop to one {chosen.height} "
                "high, or ignored_top and ignored_bottom to 0"
            )
        return self

    @model_validator(mode="after")
    def _test_is_scored_as_validation_is(self) -> "Experiment":
        """What one of both merges is learnt as one class, and the other would score the rest of them as never found."""
        if self.test and _merged_in(self.test) != _merged_in(self.validation):
            raise ValueError(
                "the labels of test and of validation tell different classes apart, and a network learns those of one; "
                "use sets of one kind for both"
            )
        return self

    @model_validator(mode="after")
    def _variants_in_order(self) -> "Experiment":
        earlier: dict[str, VariantSettings] = {}
        for variant in self.variant:
            if variant.name in ARMS or variant.name.startswith("few_labels_"):
                raise ValueError(
                    f"variant {variant.name} is called as a row of the table is anyway; give it another name"
                )
            for name in (variant.name, *variant.rows):
                if name in earlier:
                    raise ValueError(f"two variants are called {name}; give each its own name")
            if variant.start_from is not None and variant.start_from not in earlier:
                raise ValueError(f"variant {variant.name} starts from {variant.start_from}, which is none before it")
            for averaged in variant.average:
                if averaged in variant.arms:
                    continue
                if averaged not in earlier:
                    raise ValueError(
                        f"variant {variant.name} averages {averaged}, which is none before it; name rows of variants "
                        f"before it, or arms: {', '.join(variant.arms)}"
                    )
                if not earlier[averaged].leaves_a_segmenter:
                    raise ValueError(
                        f"variant {variant.name} averages {averaged}, which trains no segmenter; name variants that do"
                    )
            earlier |= dict.fromkeys(variant.rows, variant)
        return self

    @model_validator(mode="after")
    def _segmenter_does_not_build_on_itself(self) -> "Experiment":
        for key, names in (("initial", (self.segmenter.initial,)), ("teachers", self.segmenter.teachers)):
            own = [name for name in names if name in ARMS and ARMS[name].adapts]
            if own:
                raise ValueError(
                    f"segmenter.{key} is {own[0]!r}, the arm that these settings are of; name another arm, a variant "
                    "or a run folder"
                )
        return self

    @model_validator(mode="after")
    def _students_teacher_is_the_translator(self) -> "Experiment":
        if self.student is not None and self.student.teacher:
            raise ValueError(
                f"student.teacher is {self.student.teacher}; the teacher of [student] is the experiment's translator. "
                'Leave it out, or set translator.method to "student" and translator.teacher'
            )
        if self.student is not None and self.student.teacher_direction != "source_to_target":
            raise ValueError(
                f"student.teacher_direction is {self.student.teacher_direction}; a [student] learns from the "
                "translated source frames. Leave it out; translate distill --real-to-sim trains one of the way "
                "back, too"
            )
        return self

    @model_validator(mode="after")
    def _translators_crops_fit(self) -> "Experiment":
        for part in ("translator", "student"):
            settings = getattr(self, part)
            if settings is None:
                continue
            try:
                settings.check_crop_fits()
            except ValueError as error:
                raise ValueError(f"{part}: {error}") from error
        return self

    @model_validator(mode="after")
    def _some_labelled_target(self) -> "Experiment":
        wanted = self.labelled_target
        if (isinstance(wanted, int) and wanted < 1) or (isinstance(wanted, float) and not 0 < wanted <= 1):
            raise ValueError(
                f"labelled_target is {wanted}; expected a count (14), a fraction above 0 and up to 1.0, or a file"
            )
        return self

    @model_validator(mode="after")
    def _used_sets_are_there(self) -> "Experiment":
        there = [frames.name for frames in self.source]
        for name in self.source_sets or ():
            if name not in there:
                raise ValueError(f"source_sets names {name}; expected some of {', '.join(there)}")
        return self

    @model_validator(mode="after")
    def _translated_sets_name_folders(self) -> "Experiment":
        for part in ("source", "target"):  # a student of the way back translates the target
            for frames in getattr(self, part):
                if not is_folder_name(frames.name):
                    raise ValueError(
                        f"a set of {part} is called {frames.name!r}, which names no folder for its translated frames; "
                        f"{FOLDER_NAMES}"
                    )
        return self

    @model_validator(mode="after")
    def _distinct_names(self) -> "Experiment":
        for part in PARTS:
            names = [frames.name for frames in getattr(self, part)]
            if len(set(names)) < len(names):
                raise ValueError(f"two sets of {part} have the same name ({', '.join(names)}); give each its own")
        return self


def _merged_in(sets: tuple[AnyFrameSetSettings, ...]) -> Groups:
    """The train ids that the labels of some of these sets cannot tell apart."""
    encodings = [frames.label_encoding() for frames in sets]
    return joined_groups(group for encoding in encodings if encoding is not None for group in encoding.merged)
