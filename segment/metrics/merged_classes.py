"""Classes that labels cannot tell apart count as one: in label maps, in probabilities and in what was counted.

Everything that joins classes in tensors does it here, by the groups of `segment.class_groups`.
"""

import torch
from torch import Tensor

from segment.class_groups import Groups, lowest_ids


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
