"""MIC: mixed self-training, and the teacher's labels again where parts of the target frame are hidden from the student.

Hoyer, Dai, Wang, Chen, Van Gool, "MIC: Masked Image Consistency for Context-Enhanced Domain Adaptation", CVPR 2023
(arXiv:2212.01322). What is under a hidden block follows from what is around it alone, so context is learnt.
"""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from segment.adaptation.mixing import masked_blocks
from segment.adaptation.pseudo_labels import log_of_pseudo_labels
from segment.batches import AdaptationBatch
from segment.losses import weighted_cross_entropy
from segment.methods.method import Update
from segment.methods.self_training import SelfTraining, SelfTrainingSettings
from segment.settings import Decay, Fraction, PositiveFloat, PositiveInt


@dataclass(frozen=True)
class MICSettings(SelfTrainingSettings):
    """Defaults are those of the paper for segmentation."""

    teacher_decay: Decay = 0.999
    masked_weight: PositiveFloat = 1.0
    """Weight of the loss on frames with hidden blocks; lambda_M in eq. 7."""
    block: PositiveInt = 64
    """Side of the blocks in pixels; b in eq. 4. One that covers a whole crop hides nothing."""
    hidden: Fraction = 0.7
    """Share of the blocks that is hidden; r in eq. 4. Of each frame one block is always seen."""


class MIC(SelfTraining):
    """A segmenter that learns its teacher's labels of the target, mixed with true ones and under masks."""

    title: ClassVar[str] = "MIC"
    Settings = MICSettings
    settings: MICSettings

    def step(self, batch: AdaptationBatch, update: Update) -> dict[str, Tensor]:
        """Learn the source, the mixture, and the masked target; let the teacher follow. Sec. 3.3."""
        labelled = self.augmented(batch.source)
        losses, logits = self.source_losses(labelled)
        learnt = update.backward(losses)
        if self.teacher_is_ready(logits, labelled.label_map):
            target = self.augmented_target(batch)
            pseudo_label, weight = self.pseudo_labels(target)
            learnt |= update.backward(self.mixed_losses(self.mixture(labelled, target, pseudo_label, weight)))
            learnt |= update.backward(self.masked_losses(target, pseudo_label, weight))
            learnt |= log_of_pseudo_labels(pseudo_label, weight, logits.shape[1])
        update.step("network")
        self.follow()
        return learnt

    def masked_losses(self, target: Tensor, pseudo_label: Tensor, weight: Tensor) -> dict[str, Tensor]:
        """What the network pays for not knowing what is under the hidden blocks. Eq. 5 and 6."""
        settings = self.settings
        changed, filling = self.strongly_augmented(target), self.network.image_mean
        seen = masked_blocks(changed, settings.block, settings.hidden, filling, self.peers)
        loss = weighted_cross_entropy(self.output(seen, "target").main, pseudo_label, weight)
        return {"masked": settings.masked_weight * loss}
