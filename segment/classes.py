"""The class space of the project: the 19 Cityscapes classes by train id, and the subsets in which papers report.

Every data set is read into these train ids, so that networks, metrics and pictures of all data sets can be compared.
Source: Cordts et al., CVPR 2016 (names and colours of cityscapesScripts' `labels.py`).
"""

IGNORE_INDEX = 255
"""Train id of a pixel that has no class; losses and metrics pass over it."""

_CLASSES = (
    ("road", (128, 64, 128)),
    ("sidewalk", (244, 35, 232)),
    ("building", (70, 70, 70)),
    ("wall", (102, 102, 156)),
    ("fence", (190, 153, 153)),
    ("pole", (153, 153, 153)),
    ("traffic light", (250, 170, 30)),
    ("traffic sign", (220, 220, 0)),
    ("vegetation", (107, 142, 35)),
    ("terrain", (152, 251, 152)),
    ("sky", (70, 130, 180)),
    ("person", (220, 20, 60)),
    ("rider", (255, 0, 0)),
    ("car", (0, 0, 142)),
    ("truck", (0, 0, 70)),
    ("bus", (0, 60, 100)),
    ("train", (0, 80, 100)),
    ("motorcycle", (0, 0, 230)),
    ("bicycle", (119, 11, 32)),
)

CLASS_NAMES: tuple[str, ...] = tuple(name for name, _ in _CLASSES)
"""Names by train id."""

PALETTE: tuple[tuple[int, int, int], ...] = tuple(colour for _, colour in _CLASSES)
"""RGB colours (0..255) by train id. Ignored pixels are painted black, which no class has."""

TRAIN_IDS_16: tuple[int, ...] = (0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 11, 12, 13, 15, 17, 18)
"""The classes that SYNTHIA shares with Cityscapes: all but terrain, truck and train."""

TRAIN_IDS_13: tuple[int, ...] = (0, 1, 2, 6, 7, 8, 10, 11, 12, 13, 15, 17, 18)
"""The 16 without wall, fence and pole: the older of the two SYNTHIA protocols."""

CATEGORIES: dict[str, tuple[int, ...]] = {
    "flat": (0, 1),
    "construction": (2, 3, 4),
    "object": (5, 6, 7),
    "nature": (8, 9),
    "sky": (10,),
    "human": (11, 12),
    "vehicle": (13, 14, 15, 16, 17, 18),
}
"""The seven categories of Cityscapes, each with its train ids."""


def name_of_class(train_id: int, classes: int) -> str:
    """What a class is called in a log: its name in the project's class space, or its number in one of other size."""
    return CLASS_NAMES[train_id] if classes == len(CLASS_NAMES) else str(train_id)
