"""One TOML file per experiment, changed by `--set` and by its variants, read into settings that check themselves."""

import copy
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from pipelines.errors import UserError
from pipelines.experiment.arms import learns_from_labels
from pipelines.experiment.config_file import read_config_file
from pipelines.experiment.experiment import Experiment, VariantSettings
from pipelines.experiment.segmenters import same_weights
from pipelines.experiment.translators import cannot_teach, other_architecture
from pipelines.settings import explain

OF_THE_TABLE = ("name", "validation", "test", "student", "variant", "study")
"""What is the experiment's alone, whatever its variants change."""


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
    content = read_config_file(path)
    for override in overrides:
        _apply(content, override)
    for key, value in experiment.study.augmentation.items():
        _put(content, f"segmenter.{key}", value, f"config {path}: study.augmentation")
    return experiment, _validated(content, f"config {path}: study.augmentation")


def _read(path: Path, overrides: tuple[str, ...]) -> tuple[Experiment, dict[str, tuple[VariantSettings, Experiment]]]:
    content = read_config_file(path)
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
            _refuse_another_table(variants[name][1], experiment, where)
            _refuse_untrained(variants[name][1], before, where)
            _refuse_unfit_start(*variants[name], experiment, before, where)
            _refuse_unfit_translators(*variants[name], before, where)
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
    guidance, named = translator.guided_by, {segmenter.initial, *segmenter.teachers, *variant.average}
    if variant.leaves_a_translator(experiment):
        if translator.learns_from == "paired" or (guidance is not None and guidance.task_weight > 0):
            return True
        named.update(translator.guides)
    return "few_labels" in named or any(before[name][0].labels for name in named if name in before)


def _refuse_another_table(varied: Experiment, experiment: Experiment, where: str) -> None:
    """UserError where a variant changes what all rows of the table have in common: it would be scored on frames of its
    own, or the change would do nothing.
    """
    common = {part: (getattr(varied, part), getattr(experiment, part)) for part in OF_THE_TABLE}
    common["compare.seeds"] = varied.compare.seeds, experiment.compare.seeds
    for part, (here, there) in common.items():
        if here != there:
            raise UserError(
                f"{where}: changes {part}, which is the same for every row of a table; change it outside the variants"
            )


def _refuse_untrained(
    experiment: Experiment, before: Mapping[str, tuple[VariantSettings, Experiment]], where: str
) -> None:
    """UserError where `initial` or a teacher names a variant that leaves no segmenter, or none before this one.

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


def _refuse_unfit_start(
    variant: VariantSettings,
    varied: Experiment,
    experiment: Experiment,
    before: Mapping[str, tuple[VariantSettings, Experiment]],
    where: str,
) -> None:
    """UserError where a segmenter starts from a row of the table that is of another network. The arms among the rows
    are the experiment's, whatever a variant changes.
    """
    initial, network = varied.segmenter.initial, varied.segmenter.network
    if initial not in variant.arms and initial not in before:
        return
    there = (experiment if initial in variant.arms else before[initial][1]).segmenter.network
    if not same_weights(network, there):
        raise UserError(
            f"{where}: segmenter.initial names {initial}, whose network is {there}, and segmenter.network is "
            f"{network} here; give both the same"
        )


def _refuse_unfit_translators(
    variant: VariantSettings,
    experiment: Experiment,
    before: Mapping[str, tuple[VariantSettings, Experiment]],
    where: str,
) -> None:
    """UserError where the teacher, or what it starts from, is a variant without a translator, or none before this one;
    or is no network that teaches or starts this one.
    """
    start, teacher = variant.start_from, getattr(experiment.translator, "teacher", None)
    if teacher not in before and any(teacher in (one.name, *one.rows) for one in experiment.variant):
        raise UserError(
            f"{where}: translator.teacher names variant {teacher}, which is none before it; name an earlier variant"
        )
    for key, name in (("start_from", start), ("translator.teacher", teacher)):
        if name in before and not before[name][0].leaves_a_translator(before[name][1]):
            raise UserError(
                f"{where}: {key} names variant {name}, which trains no translator; name a variant that does"
            )
    if teacher in before:
        why = cannot_teach(experiment.translator, before[teacher][1].translator.model_dump(mode="json"))
        if experiment.translator.teacher_direction != "source_to_target":
            why = "whose translated frames are learnt from; leave translator.teacher_direction out"
        if why is not None:
            raise UserError(f"{where}: translator.teacher names variant {teacher}: {why}")
    if start is None:
        return
    there, here = (one.translator.model_dump(mode="json") for one in (before[start][1], experiment))
    key = other_architecture(experiment.translator, there)
    if key is not None:
        raise UserError(
            f"{where}: start_from names variant {start}, whose translator is another network: translator.{key} is "
            f"{there[key]} there and {here[key]} here; give both the same"
        )


def _validated(content: dict[str, Any], where: str) -> Experiment:
    try:
        return Experiment.model_validate(content)
    except ValidationError as error:
        raise UserError(f"{where}: {explain(error, Experiment)}") from error


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
