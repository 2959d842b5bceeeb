"""Training batches of a method that adapts: labelled frames as ever, and frames of the target whose labels stay shut.

The target's frames come by a draw for each slot, evenly, and are varied as the labelled ones are. A semi-supervised
method has a third part, of the few target frames whose labels it may see.
"""

from dataclasses import replace

import numpy as np
import torch

from pipelines.data.sampling.augment import SegmenterAugmentation
from pipelines.data.sampling.batches import FramePool
from pipelines.data.sampling.labelled_batches import LabelledBatches
from pipelines.data.sampling.random_keys import keyed_random
from segment.batches import AdaptationBatch
from segment.classes import IGNORE_INDEX


class AdaptationBatches:
    """Batches of as many target frames as labelled ones, each a function of (seed, step).

    Args:
        source: Makes the labelled part, and says which slots are this process's.
        target: Frames of the target; their label maps are never asked for.
        augmentation: Applied to every target frame, and never filling one up.
        labelled_target: Makes a batch of labelled target frames for each step, in the same slots; None for none.
    """

    def __init__(
        self,
        source: LabelledBatches,
        target: FramePool,
        augmentation: SegmenterAugmentation,
        labelled_target: LabelledBatches | None = None,
    ) -> None:
        self.source, self.target = source, target
        self.augmentation = replace(augmentation, fills_crop=True)
        self.labelled_target = labelled_target

    def __call__(self, step: int) -> AdaptationBatch:
        """The batch of a step, or this process's part of it."""
        images = [self._target_image(step, slot) for slot in self.source.draws.slots]
        labelled_target = None if self.labelled_target is None else self.labelled_target(step)
        return AdaptationBatch(self.source(step), torch.stack(images), labelled_target)

    def class_shares(self, number_of_classes: int) -> np.ndarray:
        """Share of each class among the labelled pixels, (classes,): those of the source alone."""
        return self.source.class_shares(number_of_classes)

    def _target_image(self, step: int, slot: int) -> torch.Tensor:
        random = keyed_random(self.source.draws.seed, "adaptation", step, slot)
        image = self.target.image(int(random.integers(len(self.target))))
        return self.augmentation(image, np.full(image.shape[:2], IGNORE_INDEX, np.uint8), random, None)[0]


class PseudoLabelledBatches:
    """Batches of as many target frames as labelled ones, with the labels that trained networks gave them.

    Args:
        source: Makes the labelled part.
        target: Makes the other: frames of the target with pseudo-labels, in the same slots.
    """

    def __init__(self, source: LabelledBatches, target: LabelledBatches) -> None:
        self.source, self.target = source, target

    def __call__(self, step: int) -> AdaptationBatch:
        """The batch of a step, or this process's part of it."""
        target = self.target(step)
        return AdaptationBatch(self.source(step), target.image, pseudo_label=target.label_map)

    def class_shares(self, number_of_classes: int) -> np.ndarray:
        """Share of each class among the labelled pixels, (classes,): those of the source alone."""
        return self.source.class_shares(number_of_classes)
