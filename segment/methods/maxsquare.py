"""MaxSquare: be sure of something on target frames, without a second network and without pseudo-labels.

Chen, Xue, Cai, "Domain Adaptation for Semantic Segmentation with Maximum Squares Loss", ICCV 2019 (arXiv:1909.13589).
Entropy's gradient is steepest where the network is almost sure already, so easy classes rule; that of the squares is
linear.
"""

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from annotated_types import Ge, Le
from torch import Tensor

from segment.adaptation.certainty import image_wise_weights, maximum_squares, self_produced_labels
from segment.adaptation.guards import CertaintyCollapse
from segment.adaptation.pseudo_labels import seen_in_target
from segment.batches import AdaptationBatch
from segment.classes import IGNORE_INDEX
from segment.losses import cross_entropy
from segment.methods.method import Update
from segment.methods.segmenter_training import LearnsFrom, SegmenterTraining, SegmenterTrainingSettings
from segment.networks.segmenter import Segmenter
from segment.settings import Fraction, Later, NonNegativeFloat, PositiveFloat, check_settings


@dataclass(frozen=True)
class MaxSquareSettings:
    """Defaults are those of the paper's code, whose loss is the printed one divided by the number of classes."""

    certainty_weight: PositiveFloat = 0.1
    """Weight of the loss on target frames; lambda_target. 0.09 in the multi-level form."""
    image_wise: bool = False
    """Weigh pixels by how rare their class is within the frame, so that large classes do not rule (sec. 3.4); with it
    the code's factor of one half falls away."""
    rarity_power: Annotated[float, Ge(-1), Le(1)] = 0.2
    """Power of the image-wise weight, alpha in eq. 7: at 0 all pixels weigh alike, at 1 all classes do. From
    SYNTHIA the code has -0.2, by which frequent classes weigh more."""
    guidance_weight: Annotated[NonNegativeFloat, Later()] = 0.0
    """Weight of the cross-entropy of the first auxiliary head with the labels that it and the main head produce
    together ("self-produced guidance"); 0.009 in the multi-level form, where the code multiplies lambda_seg, 0.1, by
    lambda_target; 0 for the single-level one."""
    guidance_threshold: Annotated[Fraction, Later()] = 0.95
    """How likely the best class must be to one of both heads for such a label to count. A small network is seldom so
    sure: where the log's `guided_share` stays near 0, lower it."""

    def __post_init__(self) -> None:
        check_settings(self)


class MaxSquare(SegmenterTraining):
    """A segmenter that learns the source's labels and to be sure on the target."""

    learns_from: ClassVar[LearnsFrom] = "adaptation"
    title: ClassVar[str] = "MaxSquare"
    Settings = MaxSquareSettings
    settings: MaxSquareSettings

    def __init__(
        self, network: Segmenter, training: SegmenterTrainingSettings, settings: MaxSquareSettings, **collaborators: Any
    ) -> None:
        super().__init__(network, training, settings, **collaborators)
        self.guards.append(CertaintyCollapse("certainty_weight"))
        if settings.guidance_weight > 0:
            self.need_auxiliary_head("guidance_weight")

    def step(self, batch: AdaptationBatch, update: Update) -> dict[str, Tensor]:
        """Learn the source's labels, then to be sure of the target; the auxiliary head is guided by both. Sec. 3."""
        labelled = self.augmented(batch.source)
        learnt = update.backward(self.supervised_losses(self.output(labelled.image, "source"), labelled.label_map))
        target = self.output(self.augmented_target(batch), "target")
        probabilities = target.main.float().softmax(dim=1)
        losses = self.certainty_losses(probabilities)
        if self.settings.guidance_weight > 0:
            low_level = target.auxiliary[0].float()
            labels = self_produced_labels(probabilities, low_level.softmax(dim=1), self.settings.guidance_threshold)
            losses |= self.guidance_losses(low_level, labels)
            learnt["guided_share"] = (labels != IGNORE_INDEX).float().mean()
        learnt |= update.backward(losses) | seen_in_target(target.main)
        update.step("network")
        self.follow()
        return learnt

    def certainty_losses(self, probabilities: Tensor) -> dict[str, Tensor]:
        """What the network pays for spreading its probabilities over classes. Eq. 5, and eq. 7 where image-wise."""
        if not self.settings.image_wise:
            return {"certainty": self.settings.certainty_weight * maximum_squares(probabilities)}
        weights = image_wise_weights(probabilities, self.settings.rarity_power)
        return {"certainty": 2 * self.settings.certainty_weight * maximum_squares(probabilities, weights)}

    def guidance_losses(self, logits: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """What the auxiliary head pays for other labels than both heads produced; the main head pays nothing."""
        return {"guidance": self.settings.guidance_weight * cross_entropy(logits, labels)}
