"""Classes that labels cannot tell apart count as one: in label maps, in probabilities and in what was counted.

CamVid, for example, has one label for traffic lights and signs and one for two-wheelers and their riders. A group of
classes is known by its lowest train id everywhere, and everything that joins classes does it here.
"""

from collections.abc import Collection, Iterable, Sequence

import torch
from torch import Tensor

from segment.classes import CLASS_NAMES, IGNORE_INDEX

Groups = Sequence[Collection[int]]
"""The train ids of each group; a class is in one of them at most."""


def joined_groups(groups: Iterable[Collection[int]]) -> list[list[int]]:
    """Groups of several ways of labelling as groups of all: those that share a class become one.

    Args:
        groups: In any order; they may overlap.

    Returns:
        Ascending train ids of each group, the groups by their lowest.
    """
    joined: list[set[int]] = []
    for group in map(set, groups):
        touching = [other for other in joined if other & group]
        joined = [other for other in joined if not other & group] + [group.union(*touching)]
    return sorted(sorted(group) for group in joined)


def lowest_ids(groups: Groups) -> list[int]:
    """Value of a uint8 label map -> what it counts as, 256 entries: the lowest of its group, else what it is.

    Raises:
        ValueError: A class is in two groups, or twice in one.
    """
    members = [train_id for group in groups for train_id in group]
    if len(members) != len(set(members)):
        raise ValueError(f"A class is in two groups or twice in one: {[list(group) for group in groups]}.")
    lowest = list(range(IGNORE_INDEX + 1))
    for group in groups:
        for train_id in group:
            lowest[train_id] = min(group)
    return lowest


def counted_once(train_ids: Iterable[int], groups: Groups) -> list[int]:
    """The train ids that stand for a class of their own or for a group, each group once."""
    lowest = lowest_ids(groups)
    return [train_id for train_id in train_ids if lowest[train_id] == train_id]


def class_titles(groups: Groups) -> dict[int, str]:
    """What every class is called by its train id: a group, at its lowest, by the names of all its members."""
    titles = dict(enumerate(CLASS_NAMES))
    return titles | {min(group): " + ".join(CLASS_NAMES[i] for i in sorted(group)) for group in groups}


def merge_labels(label_map: Tensor, groups: Groups) -> Tensor:
    """A label map, or a prediction, in which each class of a group is the group's lowest.

    Args:
        label_map: Integers in 0..255, any shape; 255 = ignore.
        groups: Without any, the label map itself is returned.
    """
    if not groups:
        return label_map
    table = torch.tensor(lowest_ids(groups), dtype=label_map.dtype, device=label_map.device)
    return table[label_map.int()]


def merge_log_probabilities(log_probabilities: Tensor, groups: Groups) -> Tensor:
    """Logarithms of probabilities, those of a group added up under its lowest.

    Args:
        log_probabilities: (N, K).
        groups: Train ids below K. Without any, what is given is returned.

    Returns:
        (N, K); minus infinity for the others of a group.
    """
    if not groups:
        return log_probabilities
    merged = log_probabilities.clone()
    for first, *others in map(sorted, groups):
        merged[:, first] = log_probabilities[:, [first, *others]].logsumexp(1)
        merged[:, others] = -torch.inf
    return merged


def merge_classes(confusion: Tensor, groups: Groups) -> Tensor:
    """Count the classes of a group as one.

    Args:
        confusion: (..., K, K + 1) int64; see `segment.metrics.regions`.
        groups: Train ids below K.

    Returns:
        A matrix of the same shape in which each group is counted as its lowest train id and its others are absent.

    Raises:
        ValueError: A class is in two groups, or twice in one.
    """
    lowest_ids(groups)  # refuses what overlaps
    merged = confusion.clone()
    for first, *others in map(sorted, groups):
        merged[..., first, :] += merged[..., others, :].sum(-2)
        merged[..., others, :] = 0
        merged[..., :, first] += merged[..., :, others].sum(-1)
        merged[..., :, others] = 0
    return merged
