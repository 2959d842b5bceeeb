"""MaxSquare: be sure of something on target frames, without a second network and without pseudo-labels.

Chen, Xue, Cai, "Domain Adaptation for Semantic Segmentation with Maximum Squares Loss", ICCV 2019 (arXiv:1909.13589).
Entropy's gradient is steepest where the network is almost sure already, so easy classes rule; that of the squares is
linear.
"""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from segment.batches import AdaptationBatch
from segment.certainty import image_wise_weights, maximum_squares
from segment.methods.method import Update
from segment.methods.segmenter_training import LearnsFrom, SegmenterTraining
from segment.settings import Fraction, PositiveFloat, check_settings


@dataclass(frozen=True)
class MaxSquareSettings:
    """Defaults are those of the paper's code, whose loss is the printed one divided by the number of classes."""

    certainty_weight: PositiveFloat = 0.1
    """Weight of the loss on target frames; lambda_target."""
    image_wise: bool = False
    """Weigh pixels by how rare their class is within the frame, so that large classes do not rule (sec. 3.4); with it
    the code's factor of one half falls away."""
    rarity_power: Fraction = 0.2
    """Power of the image-wise weight, alpha in eq. 7: at 0 all pixels weigh alike, at 1 all classes do."""

    def __post_init__(self) -> None:
        check_settings(self)


class MaxSquare(SegmenterTraining):
    """A segmenter that learns the source's labels and to be sure on the target."""

    learns_from: ClassVar[LearnsFrom] = "adaptation"
    title: ClassVar[str] = "MaxSquare"
    Settings = MaxSquareSettings
    settings: MaxSquareSettings

    def step(self, batch: AdaptationBatch, update: Update) -> dict[str, Tensor]:
        """Learn the source's labels, then to be sure of the target. Chen et al., sec. 3."""
        labelled = self.augmented(batch.source)
        learnt = update.backward(self.supervised_losses(self.output(labelled.image, "source"), labelled.label_map))
        target = self.output(self.augmented_target(batch), "target")
        learnt |= update.backward(self.certainty_losses(target.main))
        update.step("network")
        self.follow()
        return learnt

    def certainty_losses(self, logits: Tensor) -> dict[str, Tensor]:
        """What the network pays for spreading its probabilities over classes. Eq. 5, and eq. 7 where image-wise."""
        probabilities = logits.float().softmax(dim=1)
        if not self.settings.image_wise:
            return {"certainty": self.settings.certainty_weight * maximum_squares(probabilities)}
        weights = image_wise_weights(probabilities, self.settings.rarity_power)
        return {"certainty": 2 * self.settings.certainty_weight * maximum_squares(probabilities, weights)}
