"""The features of several segmenters as one HTML page: clouds side by side, and the numbers that they stand on.

Built like the report of a comparison (`page.py`): one file, everything escaped, no address fetched. Domains are hidden
and classes brought out by the style sheet alone.
"""

import math
from pathlib import Path
from typing import Any

from pipelines.report import figures, scatter
from pipelines.report.feature_study import DOMAIN_TITLES, CheckpointFeatures, DomainPair, FeatureStudy
from pipelines.report.pages.templates import rendered, write_page
from pipelines.report.study import average

PICTURES = {"tsne": "t-SNE", "pca": "Principal components"}


def write_features_page(study: FeatureStudy, path: Path) -> None:
    """Write the page to `path`, in one piece or not at all; StorageError if the disk refuses it."""
    write_page(render_features(study), path)


def render_features(study: FeatureStudy) -> str:
    """The page as HTML text."""
    return rendered("features.html", study=study, look=arranged(study))


def arranged(study: FeatureStudy) -> dict[str, Any]:
    """What `features_parts.html` shows, on this page and in the report of a comparison."""
    return {
        "study": study,
        "headline": headline(study),
        "sentences": sentences(study),
        "pictures": [(title, explained(study, kind), clouds(study, kind)) for kind, title in PICTURES.items()],
        "comparability": comparability(study),
        "DOMAIN_TITLES": DOMAIN_TITLES,
        "pair_title": pair_title,
        "to_target": to_target,
        "mark_key": scatter.mark_key,
        "heat": heat,
    }


def clouds(study: FeatureStudy, kind: str) -> list[tuple[CheckpointFeatures, str]]:
    """The picture of every checkpoint, all of the same part of the plane where they are of one embedding."""
    points = {one.title: getattr(one.points, kind) for one in study.checkpoints}
    shared = scatter.extent([point for of in points.values() for point in of]) if study.joint else None
    return [
        (
            one,
            scatter.scatter(
                points[one.title],
                one.points.classes,
                one.points.domains,
                shared or scatter.extent(points[one.title]),
                f"{PICTURES[kind]} of the features of {one.title}, {len(points[one.title])} points",
                {i: study.titles[i] for i in study.shown_classes()},
            ),
        )
        for one in study.checkpoints
    ]


def comparability(study: FeatureStudy) -> str:
    """Whether places may be compared between panels; empty for a single one."""
    if len(study.checkpoints) == 1:
        return ""
    if not study.joint:
        return "Each segmenter is embedded by itself: places cannot be compared between panels."
    return (
        "All segmenters show the same cells in one embedding, at one scale; the features of each were centred, divided "
        "by their root mean square and turned onto those of the first, which changes no distance within a segmenter."
    )


def explained(study: FeatureStudy, kind: str) -> str:
    """What may be read from a picture and what not."""
    if kind == "tsne":
        return (
            "Neighbours in the picture are mostly neighbours among the features (perplexity "
            f"{study.perplexity:g}); sizes of clusters and distances between them mean nothing."
        )
    shares = [figures.percent(sum(checkpoint.pca_shares)) for checkpoint in study.checkpoints]
    shown = shares[0] if study.joint else ", ".join(shares)
    return f"The two directions of largest variance, which hold {shown} of it; what is apart here is apart."


def headline(study: FeatureStudy) -> str:
    """One sentence: whether translated features lie nearer to the target's, in the network trained on them."""
    one = next((one for one in study.checkpoints if one.style == "translated"), study.checkpoints[0])
    before, after = (one.pair(first, "target") for first in ("source", "translated"))
    if before is None or not math.isfinite(before.centroid_distance):
        return "The domains show too few cells of a class to say how far apart they are."
    if after is None or not math.isfinite(after.centroid_distance):
        return (
            f"{one.title}: classes of source frames lie {figures.amount(before.centroid_distance, 2)} spreads "
            "from those of the target."
        )
    distances = [
        {shift.train_id: shift.centroid_distance for shift in pair.classes if math.isfinite(shift.centroid_distance)}
        for pair in (after, before)
    ]
    both = sorted(set.intersection(*map(set, distances)))
    if not both:
        return f"{one.title}: translated and source frames have no class in common whose distances could be compared."
    translated, source = (round(average([of[train_id] for train_id in both]), 2) for of in distances)
    near = "as near to the target as" if translated == source else "no nearer to the target than"
    if translated < source:
        near = "nearer to the target than"
    return (
        f"{one.title}: translated frames lie {near} source frames do: {figures.amount(translated, 2)} spreads against "
        f"{figures.amount(source, 2)}, by the {'class' if len(both) == 1 else f'{len(both)} classes'} that both show."
    )


def sentences(study: FeatureStudy) -> list[str]:
    """How well a linear classifier tells the domains apart, and what none of these figures can say."""
    said = []
    for one in study.checkpoints:
        parts = [
            f"{DOMAIN_TITLES[pair.first].lower()} from {DOMAIN_TITLES[pair.second].lower()} in "
            f"{figures.percent(pair.probe_accuracy)}"
            for pair in one.pairs
            if math.isfinite(pair.probe_accuracy)
        ]
        if parts:
            said.append(f"{one.title}: a linear probe tells {'; '.join(parts)} of cells (50 % is guessing).")
    said.append(
        "Domains that lie together are no proof of good segmentation: features that lost everything lie together too. "
        "Read this beside the mean IoU."
    )
    return said


def to_target(one: CheckpointFeatures) -> list[DomainPair]:
    """The pairs of which one domain is the target."""
    return [pair for pair in one.pairs if pair.second == "target"]


def pair_title(pair: tuple[str, str] | DomainPair) -> str:
    """'Source – target'."""
    first, second = (pair.first, pair.second) if isinstance(pair, DomainPair) else pair
    return f"{DOMAIN_TITLES[first]} – {DOMAIN_TITLES[second].lower()}"


def heat(value: float, most: float = 3.0) -> str:
    """How strongly a cell of the table is tinted, in percent; full at `most` spreads."""
    return f"{min(max(value, 0.0), most) / most * 55:.0f}%" if value == value else "0%"
