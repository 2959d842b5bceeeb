"""AdaptSegNet: what the network says of target frames learns to look like what it says of source frames.

Tsai, Hung, Schulter, Sohn, Yang, Chandraker, "Learning to Adapt Structured Output Space for Semantic Segmentation",
CVPR 2018 (arXiv:1802.10349). Streets have the same layout in both domains, whatever the pictures look like, so domains
are compared in the space of label maps.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor, nn

from segment.adaptation.adversarial import (
    DOMAIN_LOSSES,
    SOURCE,
    DiscriminatorSettings,
    at_chance,
    discriminator_optimizer,
    mistaken_domains,
)
from segment.adaptation.guards import DiscriminatorBalance
from segment.batches import AdaptationBatch
from segment.freezing import frozen
from segment.methods.method import Update
from segment.methods.segmenter_training import LearnsFrom, SegmenterTraining, SegmenterTrainingSettings
from segment.networks.discriminators.output_discriminator import OutputDiscriminator
from segment.networks.segmenter import Segmenter, SegmenterOutput
from segment.settings import NonNegativeFloat, check_settings


@dataclass(frozen=True)
class AdaptSegNetSettings(DiscriminatorSettings):
    """Defaults are those of the paper and its code for GTA5 to Cityscapes."""

    adversarial_weight: NonNegativeFloat = 0.001
    """Weight of the main head's adversarial loss; lambda_adv in eq. 5."""
    auxiliary_adversarial_weight: NonNegativeFloat = 0.0
    """Weight of that of the first auxiliary head, which gets a discriminator of its own; 0.0002 in the paper's
    multi-level form, 0 for the single-level one."""

    def __post_init__(self) -> None:
        check_settings(self)
        if max(self.adversarial_weight, self.auxiliary_adversarial_weight) == 0:
            raise ValueError("set adversarial_weight or auxiliary_adversarial_weight above 0, or leave adaptation out")


class AdaptSegNet(SegmenterTraining):
    """A segmenter, and a discriminator of label maps for each head that adapts.

    Known: source crops that are filled up, where a scale below 1 leaves frames smaller than the crop, show their black
    margin to the discriminators, and target crops never have one. With `segmenter.scale` from 1 on (the paper's is 1)
    and no larger a crop than the frames, none has.
    """

    learns_from: ClassVar[LearnsFrom] = "adaptation"
    title: ClassVar[str] = "AdaptSegNet"
    smallest_crop: ClassVar[int] = 32
    Settings = AdaptSegNetSettings
    settings: AdaptSegNetSettings

    def __init__(
        self,
        network: Segmenter,
        training: SegmenterTrainingSettings,
        settings: AdaptSegNetSettings,
        **collaborators: Any,
    ) -> None:
        super().__init__(network, training, settings, **collaborators)
        weights = {"main": settings.adversarial_weight, "auxiliary": settings.auxiliary_adversarial_weight}
        self.weights = {head: weight for head, weight in weights.items() if weight > 0}
        if "auxiliary" in self.weights:
            self.need_auxiliary_head("auxiliary_adversarial_weight")
        light, classes = settings.discriminator == "light", network.classes()
        self.discriminators = nn.ModuleDict(
            {head: OutputDiscriminator(classes, settings.discriminator_channels, light) for head in self.weights}
        )
        self.domain_loss = DOMAIN_LOSSES[settings.domain_loss]
        self.guards += [
            DiscriminatorBalance(f"discriminator_{head}", at_chance(self.domain_loss)) for head in self.weights
        ]
        self._optimizers["discriminators"] = discriminator_optimizer(self.discriminators, settings)

    def step(self, batch: AdaptationBatch, update: Update) -> dict[str, Tensor]:
        """Learn the source's labels and to be taken for source; let the discriminators learn. Tsai et al., sec. 4."""
        labelled = self.augmented(batch.source)
        source = self.output(labelled.image, "source")
        learnt = update.backward(self.supervised_losses(source, labelled.label_map))
        target = self.output(self.augmented_target(batch), "target")
        learnt |= update.backward(self.adversarial_losses(target))
        update.step("network")
        self.follow()

        learnt |= update("discriminators", self.discriminator_losses(source, target))
        return learnt

    def adversarial_losses(self, target: SegmenterOutput) -> dict[str, Tensor]:
        """What the network pays for target frames that are recognised as such. Eq. 4."""
        with frozen(*self.discriminators.values()):
            return {
                f"adversarial_{head}": weight
                * self.domain_loss(self.discriminators[head](probabilities(target, head)), SOURCE)
                for head, weight in self.weights.items()
            }

    def discriminator_losses(self, source: SegmenterOutput, target: SegmenterOutput) -> dict[str, Tensor]:
        """What each discriminator pays for domains that it mistakes, half for each. Eq. 2."""
        return {
            f"discriminator_{head}": mistaken_domains(
                judge, self.domain_loss, probabilities(source, head), probabilities(target, head)
            )
            for head, judge in self.discriminators.items()
        }


def probabilities(output: SegmenterOutput, head: str) -> Tensor:
    """The classes' probabilities (B, K, H, W), by the main or the first auxiliary head."""
    return (output.main if head == "main" else output.auxiliary[0]).float().softmax(dim=1)
