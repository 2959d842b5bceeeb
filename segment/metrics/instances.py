"""Instance-weighted IoU: a far-away person counts as much as a near one, who covers a hundred times the pixels.

The iIoU of Cordts et al., CVPR 2016, sec. 4.1 (arXiv:1604.01685). Counts stay whole numbers, one row per instance;
weights come in only when a score is asked for. Tests hold it against cityscapesScripts.
"""

from collections.abc import Collection

import torch
from torch import Tensor

from segment.classes import CATEGORIES, CLASS_NAMES, IGNORE_INDEX
from segment.metrics.regions import count_groups

INSTANCES_PER_CLASS = 1000
"""An instance map holds train id * 1000 + number of the instance, the way Cityscapes numbers its own."""

MEAN_PIXELS: dict[int, float] = {
    11: 3462.4756337644,
    12: 3930.4788056518,
    13: 12794.0202738185,
    14: 27855.1264367816,
    15: 35732.1511111111,
    16: 67583.7075812274,
    17: 6298.7200839748,
    18: 4672.3249222261,
}
"""Mean pixels of an instance in Cityscapes at 2048x1024, by train id: constants of its evaluation."""

INSTANCE_CATEGORIES = ("human", "vehicle")
"""The categories all of whose classes have instances."""


def instance_counts(instance_map: Tensor, prediction: Tensor) -> Tensor:
    """Count the pixels of each instance, and those that got its class and its category.

    Args:
        instance_map: (H, W) integers: train id * 1000 + number; -1 where there is no instance.
        prediction: (H, W) train ids, integers; whatever is not a class is a miss.

    Returns:
        (M, 4) int64, a row per instance by rising number: train id, pixels, pixels of its class, of its category.
        Only instances of the eight classes that have any in Cityscapes.
    """
    answers = prediction.flatten()
    if answers.dtype != torch.uint8:
        answers = answers.where((answers >= 0) & (answers < IGNORE_INDEX), IGNORE_INDEX).to(torch.uint8)
    numbers = instance_map.flatten().to(torch.int32) + 1  # 0 for none
    present = torch.bincount(numbers).nonzero().flatten()
    train_ids = (present - 1).div(INSTANCES_PER_CLASS, rounding_mode="floor")
    of_a_class = torch.isin(train_ids, torch.tensor(list(MEAN_PIXELS)))
    present, train_ids = present[of_a_class], train_ids[of_a_class]
    places = torch.zeros(int(numbers.max()) + 1, dtype=torch.int32)
    places[present] = torch.arange(1, len(present) + 1, dtype=torch.int32)
    code = places.index_select(0, numbers).mul_(256).add_(answers)
    counts = torch.bincount(code, minlength=(len(present) + 1) * 256).reshape(-1, 256)[1:]  # (M, 256)
    own = counts.gather(1, train_ids[:, None]).squeeze(1)
    category = (counts[:, : len(CLASS_NAMES)] * _same_category()[train_ids]).sum(1)
    return torch.stack([train_ids, counts.sum(1), own, category], 1)


def _same_category() -> Tensor:
    """(K, K) int64: 1 where two classes are of one category."""
    category = torch.empty(len(CLASS_NAMES), dtype=torch.int64)
    for place, members in enumerate(CATEGORIES.values()):
        category[list(members)] = place
    return (category[:, None] == category).long()


def instance_iou(confusion: Tensor, instances: Tensor) -> Tensor:
    """Instance-weighted IoU of each class.

    A hit and a miss weigh mean pixels / pixels of the instance; a false alarm belongs to no instance and weighs 1.

    Args:
        confusion: (K, K + 1) int64 over all images, as `segment.metrics.regions.confusion_matrix` counts.
        instances: (M, 4) of all images, as `instance_counts` returns.

    Returns:
        (K,) float64; NaN for a class without instances by nature, or absent.
    """
    hits, weight = _weighted(instances, instances[:, 2], confusion.shape[0])
    false_alarms = confusion[:, :-1].sum(0) - confusion.diagonal()
    scores = hits / (weight + false_alarms)
    return scores.where(torch.isin(torch.arange(len(scores)), torch.tensor(list(MEAN_PIXELS))), torch.nan)


def instance_iou_of_categories(confusion: Tensor, instances: Tensor) -> dict[str, float]:
    """Instance-weighted IoU of "human" and "vehicle", inside of which a class may be taken for another; see above."""
    hits, weight = _weighted(instances, instances[:, 3], confusion.shape[0])
    grouped = count_groups(confusion, list(CATEGORIES.values()))
    false_alarms = grouped[:, :-1].sum(0) - grouped.diagonal()
    return {
        name: _share(hits, weight, members, float(false_alarms[place]))
        for place, (name, members) in enumerate(CATEGORIES.items())
        if name in INSTANCE_CATEGORIES
    }


def _share(hits: Tensor, weight: Tensor, members: Collection[int], false_alarms: float) -> float:
    return float(hits[list(members)].sum() / (weight[list(members)].sum() + false_alarms))


def _weighted(instances: Tensor, hits: Tensor, num_classes: int) -> tuple[Tensor, Tensor]:
    """Each class's weighted hits of its instances, and the weight of all their pixels; (K,) float64 each."""
    train_ids, pixels = instances[:, 0], instances[:, 1]
    means = torch.zeros(num_classes, dtype=torch.float64)
    means[list(MEAN_PIXELS)] = torch.tensor(list(MEAN_PIXELS.values()), dtype=torch.float64)
    weights = means[train_ids]
    empty = torch.zeros(num_classes, dtype=torch.float64)
    return empty.index_add(0, train_ids, hits * weights / pixels), empty.index_add(0, train_ids, weights)
