"""MinEnt: be sure of something on target frames, by the entropy of what the network says.

Vu, Jain, Bucher, Cord, Perez, "ADVENT: Adversarial Entropy Minimization for Domain Adaptation in Semantic
Segmentation", CVPR 2019 (arXiv:1811.12833): the direct form, without an adversary. Where source and target look alike
the network is sure; where it is not, it is asked to be.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

from segment.adaptation.certainty import normalised_entropy
from segment.adaptation.guards import CertaintyCollapse
from segment.adaptation.pseudo_labels import seen_in_target
from segment.batches import AdaptationBatch
from segment.methods.method import Update
from segment.methods.segmenter_training import LearnsFrom, SegmenterTraining, SegmenterTrainingSettings
from segment.networks.segmenter import Segmenter, SegmenterOutput
from segment.settings import NonNegativeFloat, PositiveFloat, check_settings


@dataclass(frozen=True)
class MinEntSettings:
    """Defaults are those of the paper's code for GTA5 to Cityscapes."""

    entropy_weight: PositiveFloat = 0.001
    """Weight of the main head's mean entropy on target frames; lambda_ent in eq. 4."""
    auxiliary_entropy_weight: NonNegativeFloat = 0.0
    """Weight of that of the first auxiliary head; 0.0002 in the code, whose network has two levels."""

    def __post_init__(self) -> None:
        check_settings(self)


class MinEnt(SegmenterTraining):
    """A segmenter that learns the source's labels and to be undecided about as little as can be on the target."""

    learns_from: ClassVar[LearnsFrom] = "adaptation"
    title: ClassVar[str] = "MinEnt"
    Settings = MinEntSettings
    settings: MinEntSettings

    def __init__(
        self, network: Segmenter, training: SegmenterTrainingSettings, settings: MinEntSettings, **collaborators: Any
    ) -> None:
        super().__init__(network, training, settings, **collaborators)
        self.guards.append(CertaintyCollapse("entropy_weight"))
        if settings.auxiliary_entropy_weight > 0:
            self.need_auxiliary_head("auxiliary_entropy_weight")

    def step(self, batch: AdaptationBatch, update: Update) -> dict[str, Tensor]:
        """Learn the source's labels, then to be sure of the target. Vu et al., sec. 3.1."""
        labelled = self.augmented(batch.source)
        learnt = update.backward(self.supervised_losses(self.output(labelled.image, "source"), labelled.label_map))
        target = self.output(self.augmented_target(batch), "target")
        learnt |= update.backward(self.entropy_losses(target)) | seen_in_target(target.main)
        update.step("network")
        self.follow()
        return learnt

    def entropy_losses(self, target: SegmenterOutput) -> dict[str, Tensor]:
        """What the network pays for each head's entropy on the target. Eq. 3."""
        losses = {"entropy_main": self.settings.entropy_weight * normalised_entropy(target.main).mean()}
        if self.settings.auxiliary_entropy_weight > 0:
            auxiliary = normalised_entropy(target.auxiliary[0]).mean()
            losses["entropy_auxiliary"] = self.settings.auxiliary_entropy_weight * auxiliary
        return losses
