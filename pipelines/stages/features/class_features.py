"""What a network makes of frames of one domain: features by class, a few of each, drawn the same way for every network.

The features are those that pixels are classified by, the input of the network's classifier. A cell of that map counts
for a class only where all labelled pixels under it are of that class: at a border it would be half of each.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from pipelines.data.frames import FrameSet
from pipelines.engine.launch import Machine
from pipelines.runtimes.divergence import refuse_diverged
from pipelines.runtimes.frame_prediction import as_seen
from segment.class_groups import Groups
from segment.classes import IGNORE_INDEX
from segment.metrics.merged_classes import merge_labels
from segment.networks.segmenter import Segmenter

FrameOfSet = tuple[FrameSet, int]
"""A set of frames and the number of one of them."""
Drawn = Mapping[int, tuple[np.ndarray, ...]]
"""Of each class the keys, features, frames and cells of what is drawn."""


@dataclass(frozen=True)
class ClassFeatures:
    """Drawn cells of one network and domain, class after class, in random order within a class.

    Args:
        values: (N, D) float32.
        classes: (N,) train ids.
        frames: (N,) which of the frames a cell is of.
        cells: (N,) which cell of that frame's map it is.
    """

    values: Tensor
    classes: np.ndarray
    frames: np.ndarray
    cells: np.ndarray

    def __len__(self) -> int:
        return len(self.classes)

    def chosen(self, which: np.ndarray) -> "ClassFeatures":
        """The cells that a mask, bool (N,), or indices choose."""
        values = self.values[torch.from_numpy(np.arange(len(self))[which])]
        return ClassFeatures(values, self.classes[which], self.frames[which], self.cells[which])

    def of(self, train_id: int) -> Tensor:
        """The features of one class, (n, D)."""
        return self.values[torch.from_numpy(self.classes == train_id)]

    def counts(self) -> dict[int, int]:
        """How many there are of each class that there is."""
        found, counts = np.unique(self.classes, return_counts=True)
        return dict(zip(found.tolist(), counts.tolist(), strict=True))

    def first_of_each(self, most: int) -> "ClassFeatures":
        """At most so many of each class."""
        order = {i: np.flatnonzero(self.classes == i)[:most] for i in self.counts()}
        return self.chosen(np.concatenate([*order.values(), np.zeros(0, np.int64)]).astype(np.int64))

    def same_cells(self, other: "ClassFeatures") -> bool:
        """Whether both are of the same cells of the same frames, in the same order."""
        mine, theirs = (np.stack((one.classes, one.frames, one.cells)) for one in (self, other))
        return np.array_equal(mine, theirs)


def class_features(
    network: Segmenter,
    height: int,
    places: Sequence[FrameOfSet],
    groups: Groups,
    machine: Machine,
    most: int,
    seed: int,
    told: Callable[[], None] = lambda: None,
) -> ClassFeatures:
    """Draw at most `most` cells of every class. Several processes share the frames out, and all get the same cells.

    Args:
        network: In evaluation mode, on the machine.
        height: At which the network sees frames.
        places: Labelled frames.
        groups: Of train ids that count as one class, the lowest of the group.
        machine: Where to compute.
        most: Of a class; more are drawn from, and every cell is as likely as any other of its class.
        seed: Of the draw. It depends on the seed, a frame's place and a cell's number alone: networks whose maps are of
            one size are looked at in the same cells, and so are frames and their translations.
        told: Called after every frame that is looked at here.

    Raises:
        NumericalError: A feature is no number.
    """
    kept: Drawn = {}
    dimensions = 0
    for number, (frames, index) in machine.processes.walk(list(enumerate(places))):
        image = as_seen(frames.read_image(index), height, machine.device)
        features = classified_features(network, image, machine)[0]
        refuse_diverged(features, "features")
        label_map = merge_labels(torch.from_numpy(frames.read_label_map(index)), groups)
        size = tuple(image.shape[-2:])
        padded = network.padded_labels(torch.zeros(1, *size)).shape[-2:]  # a network of networks pads within
        classes = cell_classes(label_map, size, padded, features.shape[-2:]).flatten().numpy()
        keys = np.random.default_rng([seed, number]).random(len(classes))
        rows = features.flatten(1).T.numpy()
        dimensions = rows.shape[1]
        here = {i: np.flatnonzero(classes == i) for i in np.unique(classes[classes != IGNORE_INDEX]).tolist()}
        drawn = {i: (keys[cells], rows[cells], np.full(len(cells), number), cells) for i, cells in here.items()}
        kept = _lowest_keys([kept, drawn], most)
        told()
    shares = machine.processes.gathered([(kept, dimensions)])
    return _together(_lowest_keys([drawn for drawn, _ in shares], most), max(width for _, width in shares))


def _lowest_keys(parts: Sequence[Drawn], most: int) -> Drawn:
    """Of every class the cells with the lowest keys; of two alike that of the earlier frame, whoever drew it."""
    kept: dict[int, tuple[np.ndarray, ...]] = {}
    for train_id in {train_id: None for part in parts for train_id in part}:
        joined = tuple(
            np.concatenate(arrays) for arrays in zip(*(p[train_id] for p in parts if train_id in p), strict=True)
        )
        keys, _, frames, cells = joined
        order = np.lexsort((cells, frames, keys))[:most]
        kept[train_id] = tuple(array[order] for array in joined)
    return kept


def _together(kept: Drawn, dimensions: int) -> ClassFeatures:
    if not kept:
        nothing = np.zeros(0, np.int64)
        return ClassFeatures(torch.zeros(0, dimensions), nothing, nothing, nothing)
    _, values, frames, cells = (np.concatenate([kept[i][part] for i in sorted(kept)]) for part in range(4))
    classes = np.concatenate([np.full(len(kept[i][0]), i) for i in sorted(kept)])
    return ClassFeatures(torch.from_numpy(values), classes, frames, cells)


@torch.no_grad()
def classified_features(network: Segmenter, image: Tensor, machine: Machine) -> Tensor:
    """The map that pixels are classified by, (B, D, h, w) float32 on the CPU, of an image (B, 3, H, W) in [0, 1]."""
    with machine.autocast():
        return network.with_features(image)[1].float().cpu()


def cell_classes(label_map: Tensor, size: tuple[int, int], padded: tuple[int, int], grid: tuple[int, int]) -> Tensor:
    """The class of every cell of a map of features; 255 where the labels under it differ or one of them is ignored.

    Args:
        label_map: (H, W) train ids; of any size, so that no label is lost by shrinking it.
        size: (height, width) of the image as the network saw it.
        padded: (height, width) to which the network pads that, at the bottom and on the right.
        grid: (h, w) of the map, which covers the padded image.
    """
    bottom, right = (
        round(side * whole / seen) - side for side, seen, whole in zip(label_map.shape, size, padded, strict=True)
    )
    labels = F.pad(label_map[None].float(), (0, right, 0, bottom), value=IGNORE_INDEX)
    highest, lowest = F.adaptive_max_pool2d(labels, grid)[0], -F.adaptive_max_pool2d(-labels, grid)[0]
    return torch.where(highest == lowest, highest, float(IGNORE_INDEX)).long()
