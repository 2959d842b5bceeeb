"""FDA: learn source frames in the light of the target, and be sure where the target leaves no doubt.

Yang, Soatto, "FDA: Fourier Domain Adaptation for Semantic Segmentation", CVPR 2020 (arXiv:2004.05498). Domains differ
most in the amplitudes of low frequencies, which can be exchanged without learning anything. The paper's averaging of
several windows and its rounds of self-training are other steps than this training's.
"""

from dataclasses import dataclass, replace
from typing import Annotated, Any, ClassVar

import torch
from annotated_types import Ge, Lt
from torch import Tensor

from segment.adaptation.certainty import normalised_entropy, robust_entropy
from segment.adaptation.guards import CertaintyCollapse
from segment.adaptation.pseudo_labels import seen_in_target
from segment.appearance.style import transfer_amplitude
from segment.batches import AdaptationBatch, LabelledBatch
from segment.counting import StepCount
from segment.methods.method import Update
from segment.methods.segmenter_training import LearnsFrom, SegmenterTraining, SegmenterTrainingSettings
from segment.networks.segmenter import Segmenter
from segment.settings import Fraction, NonNegativeFloat, PositiveFloat, check_settings


@dataclass(frozen=True)
class FDASettings:
    """Defaults are those of the paper and its code for GTA5 to Cityscapes."""

    window: Annotated[float, Ge(0), Lt(0.5)] = 0.01
    """Half the side of the window of exchanged frequencies, as a share of the frame's shorter side; beta. The paper
    averages networks of 0.01, 0.05 and 0.09; larger changes more and shows artefacts, 0 the mean brightness alone."""
    entropy_weight: NonNegativeFloat = 0.005
    """Weight of the entropy on target frames; lambda_ent. 0 leaves the exchange alone."""
    entropy_power: PositiveFloat = 2.0
    """Above 0.5, undecided pixels count more than nearly decided ones; eta."""
    entropy_start: Fraction = 1 / 3
    """Share of the steps before the first that minimises the entropy: 50,000 of 150,000 in the code. Until then no
    target frame is looked at but for its light, where the code also lets batch statistics see it."""

    def __post_init__(self) -> None:
        check_settings(self)


class FDA(SegmenterTraining):
    """A segmenter that learns the source's labels in the target's light, and to be sure on the target."""

    learns_from: ClassVar[LearnsFrom] = "adaptation"
    title: ClassVar[str] = "FDA"
    Settings = FDASettings
    settings: FDASettings

    def __init__(
        self, network: Segmenter, training: SegmenterTrainingSettings, settings: FDASettings, **collaborators: Any
    ) -> None:
        super().__init__(network, training, settings, **collaborators)
        self.guards.append(CertaintyCollapse("entropy_weight"))
        self.steps_taken = StepCount()

    def step(self, batch: AdaptationBatch, update: Update) -> dict[str, Tensor]:
        """Give the source the target's light, learn its labels, then be sure of the target. Yang and Soatto, sec. 3."""
        target = self.augmented_target(batch)
        labelled = self.in_target_style(target, self.augmented(batch.source))
        learnt = update.backward(self.supervised_losses(self.output(labelled.image, "source"), labelled.label_map))
        if self.entropy_counts():
            logits = self.output(target, "target").main
            learnt |= update.backward(self.entropy_losses(logits)) | seen_in_target(logits)
        update.step("network")
        self.follow()
        self.steps_taken.advance()
        return learnt

    @torch.no_grad()
    def in_target_style(self, target: Tensor, labelled: LabelledBatch) -> LabelledBatch:
        """The labelled frames, each with the low amplitudes of a target frame of the same size; labels are theirs."""
        image = transfer_amplitude(labelled.image, target, self.settings.window, labelled.shown())
        return replace(labelled, image=image)

    def entropy_counts(self) -> bool:
        """Whether this step minimises the entropy too."""
        late = self.steps_taken.value >= self.settings.entropy_start * self.training_settings.steps
        return late and self.settings.entropy_weight > 0

    def entropy_losses(self, logits: Tensor) -> dict[str, Tensor]:
        """What the network pays for being undecided. At the frames' size, where the code has it at the features'."""
        loss = robust_entropy(normalised_entropy(logits), self.settings.entropy_power)
        return {"entropy": self.settings.entropy_weight * loss}
