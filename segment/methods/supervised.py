"""Supervised training of a segmenter on labelled frames: the yardstick of every method that adapts to a new domain.

Trained on source frames it is the source-only baseline, on translated ones the project's stage two, on real ones the
oracle.
"""

from torch import Tensor

from segment.batches import LabelledBatch
from segment.methods.method import Update
from segment.methods.segmenter_training import SegmenterTraining


class Supervised(SegmenterTraining):
    """Nothing but the labels of the frames that it is given."""

    def step(self, batch: LabelledBatch, update: Update) -> dict[str, Tensor]:
        """Augment, predict, compare on each head, learn, and let the average follow."""
        batch = self.augmented(batch)
        learnt = update("network", self.supervised_losses(self.network(batch.image), batch.label_map))
        self.follow()
        return learnt
