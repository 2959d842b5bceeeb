"""What a look at the features of several segmenters found, as plain values: behind the page and `features.json`."""

import math
from dataclasses import dataclass

from pydantic import TypeAdapter, ValidationError

from pipelines.report.record import Record
from pipelines.report.study import Number

DOMAIN_TITLES = {"source": "Source", "translated": "Translated", "target": "Target"}


@dataclass(frozen=True)
class FeatureStudyOptions:
    """How much is drawn: frames of each domain, cells of each class and domain, points of all pictures together.

    `lowers_perplexity`: where there are too few points for it, lower it instead of refusing.
    """

    frames: int = 60
    most_per_class: int = 200
    points: int = 3000
    perplexity: float = 30.0
    lowers_perplexity: bool = False

    def is_as_rich_as(self, other: "FeatureStudyOptions") -> bool:
        """Whether it takes in as much of everything; the perplexity is a matter of taste."""
        return (
            self.frames >= other.frames and self.most_per_class >= other.most_per_class and self.points >= other.points
        )


@dataclass(frozen=True)
class Identity:
    """All that decides what is found: hashes of checkpoints by title, and of the frames looked at by domain.

    `manner` is the name of the options in `features.json`.
    """

    seed: int
    precision: str
    manner: FeatureStudyOptions
    checkpoints: dict[str, str]
    frames: dict[str, str]


@dataclass(frozen=True)
class ClassShift:
    """How far one class lies apart in two domains; both figures are NaN where a domain shows too few cells of it."""

    train_id: int
    centroid_distance: Number
    mmd: Number


@dataclass(frozen=True)
class DomainPair:
    """How far apart two domains lie; NaN where too little is there to tell."""

    first: str
    second: str
    probe_accuracy: Number
    a_distance: Number
    mmd: Number
    centroid_distance: Number
    classes: list[ClassShift]

    def shift(self, train_id: int) -> ClassShift:
        """How far apart one class lies; NaN where nothing is known of it."""
        nothing = ClassShift(train_id, math.nan, math.nan)
        return next((shift for shift in self.classes if shift.train_id == train_id), nothing)


@dataclass(frozen=True)
class Points:
    """Cells as points of a picture, with their classes and domains; (x, y) of `pca` and `tsne`."""

    classes: list[int]
    domains: list[str]
    pca: list[tuple[float, float]]
    tsne: list[tuple[float, float]]


@dataclass(frozen=True)
class CheckpointFeatures:
    """One segmenter: what it is, its figures and its points.

    `style` is the CSS class of its colour, `cells` the number of drawn cells by domain and class, `mean_iou` that of a
    finished evaluation, NaN without one.
    """

    title: str
    style: str
    network: str
    checkpoint: str
    dimensions: int
    mean_iou: Number
    cells: dict[str, dict[int, int]]
    pairs: list[DomainPair]
    points: Points
    pca_shares: tuple[float, float]

    def pair(self, first: str, second: str) -> DomainPair | None:
        """Two domains of it, where both were looked at."""
        return next((pair for pair in self.pairs if (pair.first, pair.second) == (first, second)), None)


@dataclass(frozen=True)
class FeatureStudy(Record):
    """All of it. `domains` has the number of frames by domain; `joint`: one embedding holds all checkpoints."""

    seed: int
    perplexity: float
    most_per_class: int
    joint: bool
    domains: dict[str, int]
    titles: dict[int, str]
    checkpoints: list[CheckpointFeatures]
    notes: list[str]
    identity: Identity | None = None

    def shown_classes(self) -> list[int]:
        """Classes that at least one picture shows."""
        return sorted({train_id for one in self.checkpoints for train_id in one.points.classes})

    @staticmethod
    def from_json(text: str | bytes) -> "FeatureStudy | None":
        """Read back what `to_json` wrote; None where it is not of this shape, as of another version."""
        try:
            return _STUDY.validate_json(text)
        except ValidationError:
            return None


_STUDY = TypeAdapter(FeatureStudy)
