"""One TOML file per experiment, read into settings that check themselves.

What belongs to the experiment is here; what belongs to the machine and the moment (device, workers, run folder) is an
option of the command line.
"""

import copy
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    Field,
    JsonValue,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    ValidationError,
    model_validator,
)

from pipelines.data.disk.files import open_regular
from pipelines.data.frames import AnyFrameSetSettings
from pipelines.data.readers.layout import FOLDER_NAMES, is_folder_name
from pipelines.errors import UserError
from pipelines.experiment.arms import ARMS, learns_from_labels, translates
from pipelines.experiment.segmenters import NetworkName, SegmenterSettings
from pipelines.experiment.translators import AnyTranslatorSettings, CycleGANSettings, StudentSettings
from pipelines.settings import Settings, explain
from segment.class_groups import Groups, joined_groups

PARTS = ("source", "target", "validation", "test")
"""What an experiment's frame sets are for."""

ARCHITECTURE = (
    "method",
    "generator",
    "generator_channels",
    "discriminator",
    "discriminator_channels",
    "discriminator_layers",
    "norm",
    "antialias",
    "projection_features",
    "skip_connections",
    "enhancers",
    "halvings",
    "blocks",
    "enhancer_blocks",
    "scales",
    "edges",
    "labels",
    "style_features",
    "style_channels",
    "style_halvings",
)
"""Settings of translators that decide which weights there are."""

LARGEST_CONFIG = 2**20
"""Bytes; what is larger was given by mistake."""


class TranslationSettings(Settings):
    """How the source frames are translated to disk."""

    height: PositiveInt | None = None
    """Translate at this height and come back to the frame's own size; absent: translate at the frame's own size."""


class CompareSettings(Settings):
    """How often the comparison is repeated."""

    seeds: tuple[NonNegativeInt, ...] = Field(default=(0,), min_length=1)
    one_translator: bool = False
    """Train the translator with the first seed only and share it; otherwise every seed trains its own."""

    @model_validator(mode="after")
    def _distinct_seeds(self) -> "CompareSettings":
        if len(set(self.seeds)) < len(self.seeds):
            raise ValueError(f"seeds {list(self.seeds)} hold one twice; equal seeds give equal results, not a spread")
        return self


class VariantSettings(Settings):
    """A change to the experiment, to be compared with other changes and with none: `sim2real variants`."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9_]+$")]
    settings: dict[str, JsonValue] = Field(default_factory=dict)
    """By dotted key, as `--set` takes them: { "translator.method" = "cut" }."""
    start_from: str | None = None
    """An earlier variant, whose finished translator this one's begins with (`translator.initial`)."""
    train_segmenter: bool = True
    """Whether stage two learns from its frames; without, the translator alone is measured."""
    average: tuple[str, ...] = ()
    """Earlier variants that train a segmenter, of whose networks the probabilities are averaged; nothing is trained."""
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
        if self.settings or self.labels or self.start_from is not None or not self.train_segmenter:
            raise ValueError(f"variant {self.name} is an average of others and trains nothing; leave its settings out")
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
    def leaves_a_segmenter(self) -> bool:
        """Whether a network of its own is there afterwards, for others to start from, to learn from or to average."""
        return self.train_segmenter and not self.average


class NetworkStudySettings(Settings):
    """What `sim2real segment study` compares."""

    networks: tuple[NetworkName, ...] = Field(min_length=1)
    augmentation: dict[str, JsonValue] = Field(default_factory=dict)
    """Settings of the segmenter, by name, that the augmented source frames are trained with: { blur = 0.3 }."""

    @model_validator(mode="after")
    def _distinct_networks(self) -> "NetworkStudySettings":
        if len(set(self.networks)) < len(self.networks):
            raise ValueError(f"networks {', '.join(self.networks)} name one twice")
        return self


class Experiment(Settings):
    """All that decides an experiment's outcome."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9_]+$")]
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
    labelled_target: int | float | str | None = None
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

    @property
    def class_groups(self) -> Groups:
        """The train ids that labels for evaluation cannot tell apart: each group is learnt and scored as one class."""
        encodings = [frames.label_encoding() for frames in (*self.validation, *self.test)]
        return joined_groups(group for encoding in encodings if encoding is not None for group in encoding.merged)

    @model_validator(mode="after")
    def _variants_in_order(self) -> "Experiment":
        earlier: dict[str, VariantSettings] = {}
        for variant in self.variant:
            if variant.name in ARMS or variant.name.startswith("few_labels_"):
                raise ValueError(
                    f"variant {variant.name} is called as a row of the table is anyway; give it another name"
                )
            for name in {variant.name, *variant.rows}:
                if name in earlier:
                    raise ValueError(f"two variants are called {name}; give each its own name")
            if variant.start_from is not None and variant.start_from not in earlier:
                raise ValueError(f"variant {variant.name} starts from {variant.start_from}, which is none before it")
            for averaged in variant.average:
                if averaged not in earlier:
                    raise ValueError(f"variant {variant.name} averages {averaged}, which is none before it")
                if not earlier[averaged].leaves_a_segmenter:
                    raise ValueError(
                        f"variant {variant.name} averages {averaged}, which trains no segmenter; name variants that do"
                    )
            earlier |= dict.fromkeys(variant.rows, variant)
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


def read_experiment(path: Path, overrides: tuple[str, ...] = ()) -> Experiment:
    """Read an experiment's TOML file and apply `--set key=value` overrides. Its variants are checked too.

    Raises:
        UserError: The file is missing or is not TOML, or a setting is unknown or wrong; one line that names it.
    """
    return _read(path, overrides)[0]


def read_variants(path: Path, overrides: tuple[str, ...] = ()) -> dict[str, tuple[VariantSettings, Experiment]]:
    """The experiment as each row of its variants has it, by name, in order.

    Raises:
        UserError: As `read_experiment`; or the experiment has no variants.
    """
    variants = _read(path, overrides)[1]
    if not variants:
        raise UserError(f"config {path}: has no [[variant]] to compare; pipelines/configs/toyworld.toml has some")
    return variants


def read_study(path: Path, overrides: tuple[str, ...] = ()) -> tuple[Experiment, Experiment]:
    """The experiment, and the same with the study's augmentation in the segmenter's settings.

    Raises:
        UserError: As `read_experiment`; or the experiment has no study.
    """
    experiment = read_experiment(path, overrides)
    if experiment.study is None:
        raise UserError(
            f"config {path}: has no [study] of networks; pipelines/configs/carla_to_camvid_networks.toml has one"
        )
    content = _read_toml(path)
    for override in overrides:
        _apply(content, override)
    for key, value in experiment.study.augmentation.items():
        _put(content, f"segmenter.{key}", value, f"config {path}: study.augmentation")
    return experiment, _validated(content, f"config {path}: study.augmentation")


def _read(path: Path, overrides: tuple[str, ...]) -> tuple[Experiment, dict[str, tuple[VariantSettings, Experiment]]]:
    content = _read_toml(path)
    for override in overrides:
        _apply(content, override)
    changed = f" with --set {' --set '.join(overrides)}" if overrides else ""
    experiment = _validated(content, f"config {path}{changed}")
    variants: dict[str, tuple[VariantSettings, Experiment]] = {}
    for variant in experiment.variant:
        varied, before = copy.deepcopy(content), dict(variants)
        for key, value in variant.settings.items():
            _put(varied, key, copy.deepcopy(value), f"config {path}: variant {variant.name}: {key}")
        for name, labels in variant.rows.items():
            if labels:
                varied["labelled_target"] = labels
            elif labels == 0:
                varied.pop("labelled_target", None)
            where = f"config {path}{changed}: variant {name}"
            variants[name] = variant, _validated(varied, where)
            _refuse_untrained(*variants[name], before, where)
            if labels and not _learns_from_few_labels(variant, variants[name][1], before):
                raise UserError(
                    f"{where}: labels repeats it with so many labelled target frames, and nothing of it learns from "
                    'them; give them a share (segmenter.shares), begin with them (segmenter.initial = "few_labels"), '
                    'or choose a method that takes them (segmenter.adaptation.method = "ass")'
                )
    return experiment, variants


def _learns_from_few_labels(
    variant: VariantSettings, experiment: Experiment, before: Mapping[str, tuple[VariantSettings, Experiment]]
) -> bool:
    """Whether the labels of `labelled_target` teach anything of a variant, or of an earlier one that it builds on."""
    segmenter, translator = experiment.segmenter, experiment.translator
    if segmenter.shares.target > 0 or (segmenter.adaptation and learns_from_labels(segmenter.adaptation.method)):
        return True
    guidance, named = translator.guided_by, {segmenter.initial, *segmenter.teachers}
    if segmenter.shares.translated > 0 or not variant.train_segmenter:
        if translator.learns_from == "paired" or (guidance is not None and guidance.task_weight > 0):
            return True
        named |= {guidance.expert} if guidance is not None else set()
    return "few_labels" in named or any(before[name][0].labels for name in named if name in before)


def _refuse_untrained(
    variant: VariantSettings,
    experiment: Experiment,
    before: Mapping[str, tuple[VariantSettings, Experiment]],
    where: str,
) -> None:
    """UserError where a setting names a variant that leaves no network of the kind, or none before this one.

    Whatever is no variant's name is an arm or a path.
    """
    segmenter = experiment.segmenter
    named = [("initial", segmenter.initial), *(("teachers", teacher) for teacher in segmenter.teachers)]
    for key, name in named:
        of_family = next((one for one in experiment.variant if name in (one.name, *one.rows)), None)
        if of_family is None or (name in before and of_family.leaves_a_segmenter):
            continue
        if not of_family.leaves_a_segmenter:
            why = "which trains no segmenter; name a variant that does"
        elif name not in of_family.rows:
            why = f"which is repeated with several numbers of labels; name one of {', '.join(of_family.rows)}"
        else:
            why = "which is none before it; name an earlier variant, an arm or a run folder"
        raise UserError(f"{where}: segmenter.{key} names variant {name}, {why}")
    names = {name for one in experiment.variant for name in (one.name, *one.rows)}
    for key, name in (
        ("start_from", variant.start_from),
        ("translator.teacher", getattr(experiment.translator, "teacher", None)),
    ):
        if name in names and name not in before:
            raise UserError(f"{where}: {key} names variant {name}, which is none before it; name an earlier variant")
        if name in before and not _leaves_a_translator(*before[name]):
            raise UserError(
                f"{where}: {key} names variant {name}, which trains no translator; name a variant that does"
            )
    if variant.start_from is not None:
        there, here = before[variant.start_from][1].translator, experiment.translator
        for key in ARCHITECTURE:
            values = getattr(there, key, None), getattr(here, key, None)
            if values[0] != values[1]:
                raise UserError(
                    f"{where}: start_from names variant {variant.start_from}, whose translator is another network: "
                    f"translator.{key} is {values[0]} there and {values[1]} here; give both the same"
                )


def _leaves_a_translator(variant: VariantSettings, experiment: Experiment) -> bool:
    """Whether a variant's own training begins with a translator."""
    return not variant.average and (translates(experiment.segmenter.model_dump()) or not variant.train_segmenter)


def _validated(content: dict[str, Any], where: str) -> Experiment:
    try:
        return Experiment.model_validate(content)
    except ValidationError as error:
        raise UserError(f"{where}: {explain(error, Experiment)}") from error


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        with open_regular(path) as stream:
            data = stream.read(LARGEST_CONFIG + 1)
    except OSError as error:
        raise UserError(
            f"config {path}: cannot read: {error.strerror}; bundled ones are in pipelines/configs"
        ) from error
    if len(data) > LARGEST_CONFIG:
        raise UserError(
            f"config {path}: larger than {LARGEST_CONFIG // 1024} KiB, which no experiment is; give a TOML file"
        )
    try:
        return tomllib.loads(data.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise UserError(f"config {path}: line {line} is not UTF-8 text; save the file as UTF-8") from error
    except (ValueError, RecursionError) as error:
        raise UserError(f"config {path}: not valid TOML: {error}") from error


def _apply(content: dict[str, Any], override: str) -> None:
    """Change one setting in what the file holds; tables on the way are made, unknown ones are refused later."""
    key, separator, text = override.partition("=")
    if not separator:
        raise UserError(f"--set {override}: expected KEY=VALUE, such as --set translator.steps=200")
    _put(content, key, _parsed(text), f"--set {override}")


def _put(content: dict[str, Any], key: str, value: Any, said: str) -> None:
    """Put a value at a dotted key; errors begin with what was `said`."""
    *path, last = (part.strip() for part in key.split("."))
    if not all((*path, last)):
        raise UserError(f"{said}: expected KEY=VALUE, such as --set translator.steps=200")
    place: Any = content
    for depth, part in enumerate(path):
        place = _descend(place, part, said, ".".join(path[:depth]))
    if isinstance(place, list):
        place[_position(place, last, said, ".".join(path))] = value
    elif isinstance(place, dict):
        place[last] = value
    else:
        raise UserError(f"{said}: {'.'.join(path)} is a value, it has no {last}")


def _parsed(text: str) -> Any:
    """The value of an override: TOML, or else plain text, so that quotes may be left out."""
    try:
        parsed = tomllib.loads(f"value = {text}")
    except (ValueError, RecursionError):
        return text
    return parsed["value"] if len(parsed) == 1 else text


def _descend(place: Any, part: str, said: str, parent: str) -> Any:
    if isinstance(place, list):
        return place[_position(place, part, said, parent)]
    if isinstance(place, dict):
        return place.setdefault(part, {})
    raise UserError(f"{said}: {parent} is a value, it has no {part}")


def _position(place: list[Any], part: str, said: str, parent: str) -> int:
    if not (part.isascii() and part.isdigit() and int(part) < len(place)):
        raise UserError(f"{said}: {parent} is a list of {len(place)}, counted from 0: expected a position, got {part}")
    return int(part)
