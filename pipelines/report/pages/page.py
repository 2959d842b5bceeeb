"""The report of a comparison as one HTML file that opens anywhere: no network, no server, no other file.

Numbers come from the `Study`, words from `wording.py`, charts from `charts.py`; the template only arranges them. Names
of frames, classes and settings are other people's text, so everything is escaped, and the page's own policy
(Content-Security-Policy) lets no script run but the one whose hash it names and no address be fetched.
"""

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.experiment.arms import COMPARED
from pipelines.report import charts, tables, wording
from pipelines.report.error_maps import ErrorPicture
from pipelines.report.feature_study import FeatureStudy
from pipelines.report.pages import features_page
from pipelines.report.pages.templates import rendered, write_page
from pipelines.report.study import Study, average


@dataclass(frozen=True)
class Translation:
    """A synthetic frame, the same frame translated, and the real frame that looks most like it; uint8 (H, W, 3) RGB."""

    source: np.ndarray
    translated: np.ndarray
    real_neighbour: np.ndarray
    name: str


@dataclass(frozen=True)
class PredictionPicture:
    """A frame, uint8 (H, W, 3), with its label and each arm's prediction, uint8 (H, W) of train ids, and mean IoU."""

    name: str
    image: np.ndarray
    label: np.ndarray
    predictions: dict[str, np.ndarray]
    scores: dict[str, float]


@dataclass(frozen=True)
class Gallery:
    """All that the page shows beside the numbers; any part may be empty.

    `translator_curve` has one entry per logged step of the translator: the step and its losses by name. `errors` has
    the best, median and worst frame of each arm.
    """

    translations: list[Translation] = field(default_factory=list)
    best: list[PredictionPicture] = field(default_factory=list)
    worst: list[PredictionPicture] = field(default_factory=list)
    translator_curve: list[tuple[int, dict[str, float]]] = field(default_factory=list)
    errors: dict[str, list[ErrorPicture]] = field(default_factory=dict)


def write_report(study: Study, pictures: Gallery, path: Path, features: FeatureStudy | None = None) -> None:
    """Write the page to `path`, in one piece or not at all; without `features` it has no such section.

    Raises:
        StorageError: The disk refuses it.
    """
    write_page(render_page(study, pictures, features), path)


def render_page(study: Study, pictures: Gallery, features: FeatureStudy | None = None) -> str:
    """The page as HTML text; megabytes long, for the pictures are in it."""
    return rendered(
        "template.html",
        study=study,
        ARMS=COMPARED,
        ARM_TITLES=study.titles(),
        ARM_NAMES=study.names(),
        ARM_MEANINGS=wording.arm_meanings(study),
        average=average,
        interval=tables.interval,
        spread=tables.spread,
        pictures=pictures,
        look=features and features_page.arranged(features),
        network=study.network,
        groups=study.class_groups(),
        settings=list(flattened(study.settings)),
        frames=frame_rows(study),
        curves=training_curves(study),
        translator=translator_curves(pictures.translator_curve),
    )


def flattened(settings: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """(dotted name, value as JSON) of every setting, named as `--set` takes them."""
    for name, value in settings.items():
        dotted = f"{prefix}{name}"
        if isinstance(value, dict) and value:
            yield from flattened(value, f"{dotted}.")
        else:
            yield dotted, json.dumps(value, ensure_ascii=False, default=str)


def frame_rows(study: Study) -> list[tuple[str, list[float], float]]:
    """(name, mean IoU of each arm over seeds, translated minus source-only) by frame, the largest loss first."""
    means = [study.frame_means(arm) for arm in COMPARED]
    names = sorted(set().union(*means))
    rows = [(name, [scores.get(name, math.nan) for scores in means]) for name in names]
    rows = [(name, scores, scores[1] - scores[0]) for name, scores in rows]
    return sorted(rows, key=lambda row: (not math.isfinite(row[2]), row[2]))


def training_curves(study: Study) -> list[charts.Line]:
    """The loss of every arm and seed, coloured by arm."""
    return [
        charts.Line(f"{study.titles()[arm]}, seed {result.seed}", arm, result.curve)
        for arm in COMPARED
        for result in study.of(arm)
        if result.curve
    ]


def translator_curves(curve: list[tuple[int, dict[str, float]]]) -> list[tuple[str, charts.Line]]:
    """(name, curve) of each loss of the translator, in the order in which they first appear."""
    names = list(dict.fromkeys(name for _, losses in curve for name in losses))
    return [
        (
            name,
            charts.Line(name, charts.series_style(index), [(s, losses[name]) for s, losses in curve if name in losses]),
        )
        for index, name in enumerate(names)
    ]
