"""CLAN: be taken for source above all where two classifiers disagree, and leave alone what fits the source already.

Luo, Zheng, Guan, Yu, Yang, "Taking a Closer Look at Domain Shift: Category-level Adversaries for Semantics Consistent
Domain Adaptation", CVPR 2019 (arXiv:1809.09478). An adversary that pulls at all pixels alike also pulls at those whose
classes were aligned, and misplaces them.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from segment.adaptation.adversarial import (
    DOMAIN_LOSSES,
    SOURCE,
    TARGET,
    DiscriminatorSettings,
    at_chance,
    discriminator_optimizer,
)
from segment.adaptation.discrepancy import cosine_distance, weight_likeness
from segment.adaptation.guards import DiscriminatorBalance
from segment.batches import AdaptationBatch
from segment.counting import StepCount
from segment.freezing import frozen
from segment.methods.method import Update
from segment.methods.segmenter_training import LearnsFrom, SegmenterTrainingSettings
from segment.methods.two_classifiers import TwoClassifiers, TwoViews
from segment.networks.discriminators.output_discriminator import OutputDiscriminator
from segment.networks.second_classifier import classifying_weights
from segment.networks.segmenter import Segmenter
from segment.settings import Fraction, NonNegativeFloat, PositiveFloat, check_settings

LEAST_MEAN = 1e-6
"""Mean weight of a target's pixels below which its loss is as good as none: both weights may be set to 0."""


@dataclass(frozen=True)
class CLANSettings(DiscriminatorSettings):
    """Defaults are those of the paper's code for GTA5 to Cityscapes.

    Of the loss on labels the paper says cross-entropy, and its code computes the focal loss with gamma 2:
    `segmenter.loss` "cross_entropy" is the one, "focal" the other, by which the published figures came about.
    """

    adversarial_weight: PositiveFloat = 0.001
    """Weight of the adversarial loss; lambda_adv."""
    local_weight: NonNegativeFloat = 40.0
    """How much more a pixel counts where the classifiers disagree; lambda_local. 10 from SYNTHIA."""
    least_local_weight: NonNegativeFloat = 0.4
    """How much a pixel counts where they agree; epsilon."""
    likeness_weight: NonNegativeFloat = 0.02
    """Weight of the loss by which the classifiers' weights are driven apart; the paper's lambda_weight is 0.01, which
    its code doubles."""
    plain_share: Fraction = 0.05
    """Share of the steps, from the first on, in which all pixels count alike: the classifiers have to know something
    before their disagreement tells anything."""

    def __post_init__(self) -> None:
        check_settings(self)


class CLAN(TwoClassifiers):
    """A segmenter with a second classifier, and a discriminator of what both say together.

    Differs: the network that is evaluated is an ordinary one and answers by its own classifier, where the paper's code
    adds up both ones' logits. `segmenter.warmup_steps` is the warm-up of the paper's code if it is 5 % of the steps.

    Known: source crops that are filled up tell the discriminator their domain by the margin; see `AdaptSegNet`.
    """

    learns_from: ClassVar[LearnsFrom] = "adaptation"
    title: ClassVar[str] = "CLAN"
    smallest_crop: ClassVar[int] = 32
    Settings = CLANSettings
    settings: CLANSettings

    def __init__(
        self, network: Segmenter, training: SegmenterTrainingSettings, settings: CLANSettings, **collaborators: Any
    ) -> None:
        super().__init__(network, training, settings, **collaborators)
        light = settings.discriminator == "light"
        self.discriminator = OutputDiscriminator(network.classes(), settings.discriminator_channels, light)
        self.domain_loss = DOMAIN_LOSSES[settings.domain_loss]
        self.guards.append(DiscriminatorBalance("discriminator", at_chance(self.domain_loss)))
        self._optimizers["discriminator"] = discriminator_optimizer(self.discriminator, settings)
        self.steps_taken = StepCount()

    def step(self, batch: AdaptationBatch, update: Update) -> dict[str, Tensor]:
        """Learn the labels in two ways and to be taken for source; let the discriminator learn. Luo et al., sec. 3."""
        labelled = self.augmented(batch.source)
        source = self.views(labelled.image, "source")
        learnt = update.backward(self.losses_of_both(source, labelled.label_map))
        target = self.views(self.augmented_target(batch), "target")
        weights = self.local_weights(target)
        learnt |= update.backward(self.adversarial_losses(target, weights) | self.likeness_losses())
        update.step("network")
        self.follow()

        learnt |= update("discriminator", self.discriminator_losses(source, target, weights))
        # Pixels of the target weigh little or much, so what it costs to guess is known of their mean alone.
        of_target = learnt["discriminator_target"] / weights.detach().mean().clamp(min=LEAST_MEAN)
        learnt["discriminator"] = 0.5 * (learnt["discriminator_source"] + of_target)
        self.steps_taken.advance()
        return learnt

    def damping(self) -> float:
        """What is left of the weights of all but the labels: from 1 at the first step, evenly, to nearly 0."""
        return 1 - self.steps_taken.value / self.training_settings.steps

    def local_weights(self, target: TwoViews) -> Tensor:
        """How much each pixel of the target counts, (B, 1, H, W): the more, the more the classifiers disagree.

        With gradient: in the authors' code the network also pays for its classifiers' disagreement itself.
        """
        first, second = (logits.float().softmax(dim=1) for logits in (target.output.main, target.second))
        if self.steps_taken.value <= self.settings.plain_share * self.training_settings.steps:
            return torch.ones_like(first[:, :1])
        return self.settings.least_local_weight + self.settings.local_weight * cosine_distance(first, second)

    def adversarial_losses(self, target: TwoViews, weights: Tensor) -> dict[str, Tensor]:
        """What the network pays for target pixels that are recognised as such, each by its weight."""
        with frozen(self.discriminator):
            judged = self.judged(probabilities(target))
        loss = self.domain_loss(judged, SOURCE, weights)
        return {"adversarial": self.settings.adversarial_weight * self.damping() * loss}

    def likeness_losses(self) -> dict[str, Tensor]:
        """What the two classifiers pay for having weights alike."""
        ours = classifying_weights(self.network.classifying_module())
        likeness = weight_likeness(ours, classifying_weights(self.second_classifier))
        return {"likeness": self.settings.likeness_weight * self.damping() * likeness}

    def discriminator_losses(self, source: TwoViews, target: TwoViews, weights: Tensor) -> dict[str, Tensor]:
        """What the discriminator pays for domains that it mistakes, on the target by the same weights."""
        of_source = self.domain_loss(self.judged(probabilities(source).detach()), SOURCE)
        of_target = self.domain_loss(self.judged(probabilities(target).detach()), TARGET, weights.detach())
        return {"discriminator_source": of_source, "discriminator_target": of_target}

    def judged(self, classes: Tensor) -> Tensor:
        """The discriminator's logits of probabilities (B, K, H, W), brought to their size: (B, 1, H, W)."""
        coarse = self.discriminator(classes).float()
        return F.interpolate(coarse, classes.shape[-2:], mode="bilinear", align_corners=True)


def probabilities(views: TwoViews) -> Tensor:
    """The classes' probabilities by both classifiers together: of the sum of their logits, (B, K, H, W)."""
    return (views.output.main.float() + views.second.float()).softmax(dim=1)
