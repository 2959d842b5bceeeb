"""Batches for a translator that learns from unpaired frames: crops of both domains, and what guidance needs with them.

The batch of a step is a pure function of (seed, step), as all batches are.
"""

import numpy as np
import torch

from pipelines.data.images import to_tensor
from pipelines.data.sampling.augment import fit_height
from pipelines.data.sampling.batches import Crops, Draws, FramePool, fit_labels
from pipelines.data.sampling.random_keys import keyed_random
from translate.methods.batches import UnpairedBatch


class UnpairedBatches:
    """Batches for a translator: source and target crops that have nothing to do with each other.

    Every frame of a domain comes once before any comes again (a new order each round), as in the reference code. What
    guidance needs comes beside them: crops of label maps, and labelled target frames in rounds of their own.

    Args:
        source: Frames of the source.
        target: Frames of the target.
        draws: Which batches.
        crops: How they are cut.
        source_labels: Whether to crop label maps with the source; those that a frame lacks are ignored throughout.
        labelled_target: Labelled target frames; None for none.
    """

    def __init__(
        self,
        source: FramePool,
        target: FramePool,
        draws: Draws,
        crops: Crops,
        source_labels: bool = False,
        labelled_target: FramePool | None = None,
    ) -> None:
        self.source, self.target, self.labelled_target = source, target, labelled_target
        self.draws, self.crops, self.source_labels = draws, crops, source_labels

    def __call__(self, step: int) -> UnpairedBatch:
        """The batch of a step, or this process's part of it."""
        source, source_label_map = self._crops("source", self.source, step, self.source_labels)
        target, _ = self._crops("target", self.target, step)
        labelled, target_label_map = None, None
        if self.labelled_target is not None:
            labelled, target_label_map = self._crops("labelled_target", self.labelled_target, step, labels=True)
        return UnpairedBatch(source, target, source_label_map, labelled, target_label_map)

    def _crops(
        self, domain: str, pool: FramePool, step: int, labels: bool = False
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        crops, label_maps = [], []
        seed, width = self.draws.seed, self.crops.size[0]
        for position in (step * self.draws.batch + slot for slot in self.draws.slots):
            index = self.draws.frame_at(domain, position, len(pool))
            image = fit_height(pool.image(index), self._height(domain, position), enlarge=True, least_width=width)
            window = self.crops.window(image.shape, keyed_random(seed, domain, "crop", position))
            crops.append(to_tensor(image[window]))
            if labels:
                label_map = fit_labels(pool.label_map(index), image.shape)[window]
                label_maps.append(torch.from_numpy(label_map.astype(np.int64)))
        return torch.stack(crops), torch.stack(label_maps) if labels else None

    def _height(self, domain: str, position: int) -> int:
        """What a frame is brought to before cropping."""
        fixed = self.crops.fixed_height()
        return fixed or self.crops.drawn_height(keyed_random(self.draws.seed, domain, "scale", position))
