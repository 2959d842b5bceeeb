"""Drawn features as points of pictures: which are shown, how several networks share one embedding, t-SNE and PCA.

A network names its channels in any order, so features of two networks are first turned onto each other; only then does
one embedding of both show more than that they are two. PCA shows how features lie on the whole, t-SNE who is whose
neighbour; both are scikit-learn's, and give the same points again for the same features.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor

from pipelines.progress import Progress
from pipelines.report.feature_study import Points
from pipelines.stages.features.class_features import ClassFeatures
from segment.classes import CLASS_NAMES

EMBEDDED_DIMENSIONS = 50
"""t-SNE is given so many principal components: the rest is mostly noise, which drowns neighbourhoods."""

STEPS = 750


def shown_cells(drawn: Mapping[str, ClassFeatures], most: int) -> dict[str, ClassFeatures]:
    """At most so many cells of all domains together, but one of each class and domain; as evenly as there are any.

    Classes that only one domain shows are left out: there is nothing to compare.
    """
    counts = [features.counts() for features in drawn.values()]
    common = {i for i in range(len(CLASS_NAMES)) if sum(i in of for of in counts) > 1}
    each = 1
    while sum(min(n, each + 1) for of in counts for i, n in of.items() if i in common) <= most and each < most:
        each += 1
    return {
        domain: features.chosen(np.isin(features.classes, list(common))).first_of_each(each)
        for domain, features in drawn.items()
    }


def one_embedding_holds(shown: Mapping[str, Mapping[str, ClassFeatures]]) -> bool:
    """Whether all checkpoints have features of as many dimensions, and of the same cells."""
    first, *others = shown.values()
    dimensions = {features.values.shape[1] for of in shown.values() for features in of.values()}
    return len(dimensions) == 1 and all(other[name].same_cells(first[name]) for other in others for name in first)


def most_perplexity(points: int) -> float:
    """What the perplexity of t-SNE must be below, since it looks for three times as many neighbours of each point."""
    return (points - 1) / 3


def embed(
    shown: Mapping[str, Mapping[str, ClassFeatures]], joint: bool, perplexity: float
) -> dict[str, tuple[Points, tuple[float, float]]]:
    """Points of every checkpoint, and the share of the variance along the two axes of the PCA.

    Args:
        shown: Cells by checkpoint and domain.
        joint: All checkpoints in one embedding; they show the same cells.
        perplexity: Of t-SNE; below `most_perplexity` of the cells of each embedding.
    """
    values = {title: normalised(torch.cat([one.values for one in of.values()])) for title, of in shown.items()}
    if joint:
        first = next(iter(values.values()))
        values = {title: rotated_onto(first, own) for title, own in values.items()}
    together = [list(values)] if joint else [[title] for title in values]
    points = {}
    with Progress("t-SNE", len(together), "picture") as progress:
        for done, titles in enumerate(together, 1):
            features = torch.cat([values[title] for title in titles])
            components, shares = principal_components(features, EMBEDDED_DIMENSIONS)
            near = neighbourhoods(components, perplexity)
            progress.reach(done)
            sizes = [len(values[title]) for title in titles]
            ends = np.cumsum(sizes)[:-1]
            for title, flat, mapped in zip(
                titles, np.split(components[:, :2], ends), np.split(near, ends), strict=True
            ):
                points[title] = (
                    _points(shown[title], flat, mapped),
                    (round(float(shares[0]), 6), round(float(shares[1]), 6)),
                )
    return points


def principal_components(features: Tensor, dimensions: int) -> tuple[np.ndarray, np.ndarray]:
    """Features along the axes of their largest variance, and each axis' share of it; an axis never changes its sign.

    Args:
        features: (N, D), N of 2 or more.
        dimensions: How many axes, 2 or more; those that the features do not have are left out beyond the second, which
            is zero then.

    Returns:
        (N, axes) and (axes,), float64.
    """
    from sklearn.decomposition import PCA

    axes = min(dimensions, *features.shape)
    # The shares of equal features, whose variance is none, are 0 / 0.
    with np.errstate(invalid="ignore"):
        fitted = PCA(axes, svd_solver="full").fit(features.double().numpy())
    points, shares = fitted.transform(features.double().numpy()), np.nan_to_num(fitted.explained_variance_ratio_)
    missing = max(0, 2 - axes)
    return np.pad(points, ((0, 0), (0, missing))), np.pad(shares, (0, missing))


def neighbourhoods(components: np.ndarray, perplexity: float) -> np.ndarray:
    """Points in the plane whose neighbours are those of the features, by t-SNE.

    Args:
        components: (N, D), the principal components first: their plane is what it starts from, so nothing is drawn at
            random and more of the large-scale order is kept.
        perplexity: Of each feature's neighbourhood, about the number of neighbours that count; below N.

    Returns:
        (N, 2) float32.

    Source: van der Maaten and Hinton, JMLR 9, 2008; in scikit-learn with the approximation of far points by van der
        Maaten, JMLR 15, 2014, on one thread, since the order of its sums depends on their number.
    """
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    plane = components[:, :2].astype(np.float32)
    start = plane / max(float(plane[:, 0].std()), 1e-12) * np.float32(1e-4)
    with threadpool_limits(1):
        tsne = TSNE(perplexity=perplexity, max_iter=STEPS, init=start, random_state=0)
        return tsne.fit_transform(components.astype(np.float32))


def normalised(features: Tensor) -> Tensor:
    """Features (N, D) about their mean, in units of their root mean square: networks differ in scale, not in sense."""
    centred = features.double() - features.double().mean(0)
    return centred / centred.square().sum(1).mean().sqrt().clamp_min(1e-12)


def rotated_onto(first: Tensor, own: Tensor) -> Tensor:
    """A network's features turned so that they lie as near as can be to another's of the same cells.

    Networks name their channels in any order and direction; a rotation changes no distance within a network, and
    without it two of them would lie apart in one embedding for no reason but the names. Source: Schönemann 1966.
    """
    left, _, right = torch.linalg.svd(own.T @ first)
    return own @ left @ right


def _points(of: Mapping[str, ClassFeatures], pca: np.ndarray, mapped: np.ndarray) -> Points:
    return Points(
        classes=[int(i) for features in of.values() for i in features.classes],
        domains=[domain for domain, features in of.items() for _ in range(len(features))],
        pca=[(round(x, 4), round(y, 4)) for x, y in pca.tolist()],
        tsne=[(round(x, 3), round(y, 3)) for x, y in mapped.tolist()],
    )


@contextmanager
def one_thread() -> Iterator[None]:
    """For thousands of small sums: on a busy machine threads that wait for each other take ten times longer."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
