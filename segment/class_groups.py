"""Groups of classes: which are joined where ways of labelling meet, and what a group is known by.

CamVid, for example, has one label for traffic lights and signs and one for two-wheelers and their riders. A group of
classes is known by its lowest train id everywhere.
"""

from collections.abc import Collection, Iterable, Sequence

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
