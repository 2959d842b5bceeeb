"""ASS: with a few labels of the target, a road's features are told from another domain's road, not from all else.

Wang, Wei, Feris, Xiong, Hwu, Huang, Shi, "Alleviating Semantic-level Shift: A Semi-supervised Domain Adaptation Method
for Semantic Segmentation", CVPR Workshops 2020 (arXiv:2004.00794). An adversary of label maps (GA) as in AdaptSegNet,
and beside it one of features that knows classes: of their means (FCSA), or of every place (CSA).
"""

import math
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from segment.adaptation.adversarial import (
    DOMAIN_LOSSES,
    SOURCE,
    TARGET,
    DiscriminatorSettings,
    at_chance,
    discriminator_optimizer,
    mistaken_domains,
)
from segment.adaptation.guards import DiscriminatorBalance
from segment.adaptation.semantic_adversary import (
    answers,
    class_means,
    classes_shown,
    cross_entropy_of_classes,
    cross_entropy_of_locations,
    labels_at,
)
from segment.batches import AdaptationBatch
from segment.freezing import frozen
from segment.methods.method import Update
from segment.methods.segmenter_training import LearnsFrom, SegmenterTraining, SegmenterTrainingSettings
from segment.networks.discriminators.output_discriminator import OutputDiscriminator
from segment.networks.discriminators.semantic_discriminator import SemanticDiscriminator
from segment.networks.segmenter import Segmenter, SegmenterOutput
from segment.settings import NonNegativeFloat, PositiveFloat, PositiveInt, check_settings

CLASS_ALONE = math.log(2)
"""What a discriminator of features pays, for a feature, that knows its class and not its domain."""


@dataclass(frozen=True)
class ASSSettings(DiscriminatorSettings):
    """The paper gives the weight of the semantic adversary alone; the other weights are AdaptSegNet's."""

    labelled_weight: PositiveFloat = 1.0
    """Weight of the losses on labelled target frames, beside 1 of those on source frames."""
    adversarial_weight: NonNegativeFloat = 0.001
    """Weight of the adversarial loss on label maps (GA); at 0 there is none."""
    direction: Literal["target_to_source", "source_to_target"] = "target_to_source"
    """Whose label maps are to be taken for the other domain's: "target_to_source" is AdaptSegNet's, "source_to_target"
    the one that ASS publishes. The discriminator sees source frames and those of the target without labels."""
    semantic_adversary: Literal["csa", "fcsa", "none"] = "csa"
    """The adversary of features that knows classes. Below some hundred labelled frames the paper's own tables have
    "none" ahead on SYNTHIA."""
    semantic_weight: PositiveFloat = 0.01
    """Weight of its loss: the paper's best for "csa" of 1, 0.1, 0.01 and 0.001; "fcsa" is much the same from 0.008
    to 1."""
    semantic_channels: PositiveInt = 1024
    """Width of its hidden layer."""

    def __post_init__(self) -> None:
        check_settings(self)
        if self.adversarial_weight == 0 and self.semantic_adversary == "none":
            raise ValueError("set adversarial_weight above 0 or choose a semantic_adversary, or leave adaptation out")


class ASS(SegmenterTraining):
    """A segmenter, a discriminator of label maps and one of features.

    The semantic one learns from source frames and the labelled target frames, and source features are to be taken for
    the target's. Differs: SGD without Nesterov's correction; the frames that have labels are among those that the
    adversary of label maps sees without them. A map of features is the one that pixels are classified by, with the
    label of the nearest pixel at each place.

    Known: source crops that are filled up tell the discriminator of label maps their domain by the margin; see
    `AdaptSegNet`.
    """

    learns_from: ClassVar[LearnsFrom] = "semi_supervised"
    title: ClassVar[str] = "ASS"
    smallest_crop: ClassVar[int] = 32
    Settings = ASSSettings
    settings: ASSSettings

    def __init__(
        self, network: Segmenter, training: SegmenterTrainingSettings, settings: ASSSettings, **collaborators: Any
    ) -> None:
        super().__init__(network, training, settings, **collaborators)
        self.number_of_classes, light = network.classes(), settings.discriminator == "light"
        self.domain_loss = DOMAIN_LOSSES[settings.domain_loss]
        self.discriminators = nn.ModuleDict()
        if settings.adversarial_weight > 0:
            judge = OutputDiscriminator(self.number_of_classes, settings.discriminator_channels, light)
            self.discriminators["label_maps"] = judge
            self.guards.append(DiscriminatorBalance("discriminator", at_chance(self.domain_loss)))
        if settings.semantic_adversary != "none":
            widths = network.feature_channels(), self.number_of_classes, settings.semantic_channels
            self.discriminators["features"] = SemanticDiscriminator(*widths)
            self.guards.append(DiscriminatorBalance("semantic_discriminator_per_feature", CLASS_ALONE))
        self._optimizers["discriminators"] = discriminator_optimizer(self.discriminators, settings)

    def step(self, batch: AdaptationBatch, update: Update) -> dict[str, Tensor]:
        """Learn the labels of both domains and to deceive; let the discriminators learn. Wang et al., eq. 11.

        Raises:
            ValueError: The batch has no labelled target frames.
        """
        if batch.labelled_target is None:
            raise ValueError("ASS learns from labelled target frames too; the batch has none")
        labelled, few = self.augmented(batch.source), self.augmented(batch.labelled_target)
        source, features = self.output_and_map(self.network.with_features, labelled.image, "source")
        losses = self.supervised_losses(source, labelled.label_map) | self.semantic_losses(features, labelled.label_map)
        if self.settings.direction == "source_to_target":
            losses |= self.adversarial_losses(source, TARGET)
        learnt = update.backward(losses)

        known, known_features = self.output_and_map(self.network.with_features, few.image, "target")
        learnt |= update.backward(self.labelled_losses(known, few.label_map))

        target = None
        if "label_maps" in self.discriminators:
            target = self.unlabelled_output(self.augmented_target(batch))
            if self.settings.direction == "target_to_source":
                learnt |= update.backward(self.adversarial_losses(target, SOURCE))
        update.step("network")
        self.follow()

        losses = {} if target is None else self.discriminator_losses(source, target)
        losses |= self.semantic_discriminator_losses(features, labelled.label_map, known_features, few.label_map)
        learnt |= update("discriminators", losses)
        if "features" in self.discriminators:
            shown = self.terms_of(labelled.label_map, features) + self.terms_of(few.label_map, known_features)
            learnt["semantic_discriminator_per_feature"] = learnt["semantic_discriminator"] / shown.clamp(min=1)
        return learnt

    def unlabelled_output(self, image: Tensor) -> SegmenterOutput:
        """What the network sees in target frames; without gradient where only the discriminator learns from it."""
        if self.settings.direction == "target_to_source":
            return self.output(image, "target")
        with torch.no_grad():
            return self.network(image)

    def labelled_losses(self, output: SegmenterOutput, label_map: Tensor) -> dict[str, Tensor]:
        """The supervised losses on labelled target frames, by names of their own."""
        losses = self.supervised_losses(output, label_map)
        return {f"labelled_{name}": self.settings.labelled_weight * loss for name, loss in losses.items()}

    def adversarial_losses(self, output: SegmenterOutput, domain: float) -> dict[str, Tensor]:
        """What the network pays for label maps that are not taken for those of `domain`."""
        if "label_maps" not in self.discriminators:
            return {}
        judge = self.discriminators["label_maps"]
        with frozen(judge):
            loss = self.domain_loss(judge(probabilities(output)), domain)
        return {"adversarial": self.settings.adversarial_weight * loss}

    def semantic_losses(self, features: Tensor, label_map: Tensor) -> dict[str, Tensor]:
        """What the network pays for source features not taken for those of the same class in the target.

        Args:
            features: (B, C, h, w) of source frames; gradients flow.
            label_map: Theirs, (B, H, W).
        """
        if "features" not in self.discriminators:
            return {}
        with frozen(self.discriminators["features"]):
            loss = self.semantic_cross_entropy(features, label_map, TARGET)
        return {"semantic": self.settings.semantic_weight * loss}

    def discriminator_losses(self, source: SegmenterOutput, target: SegmenterOutput) -> dict[str, Tensor]:
        """What the discriminator of label maps pays for domains that it mistakes, half for each."""
        judge = self.discriminators["label_maps"]
        loss = mistaken_domains(judge, self.domain_loss, probabilities(source), probabilities(target))
        return {"discriminator": loss}

    def semantic_discriminator_losses(
        self, source: Tensor, source_labels: Tensor, target: Tensor, target_labels: Tensor
    ) -> dict[str, Tensor]:
        """What the discriminator of features pays for classes and domains that it mistakes.

        Args:
            source: Features (B, C, h, w), taken as constants.
            source_labels: Label maps (B, H, W).
            target: Features of labelled target frames, taken as constants.
            target_labels: Theirs.
        """
        if "features" not in self.discriminators:
            return {}
        of_source = self.semantic_cross_entropy(source.detach(), source_labels, SOURCE)
        of_target = self.semantic_cross_entropy(target.detach(), target_labels, TARGET)
        return {"semantic_discriminator": of_source + of_target}

    def terms_of(self, label_map: Tensor, features: Tensor) -> Tensor:
        """How many features' losses the semantic one is the sum of: those of the classes that an image shows, in the
        mean, or that of the mean location."""
        if self.settings.semantic_adversary == "csa":
            return torch.ones((), device=features.device)
        return classes_shown(self.labels_of(features, label_map), self.number_of_classes)

    def labels_of(self, features: Tensor, label_map: Tensor) -> Tensor:
        """The labels (B, h, w) of the locations of a map of features; 255 where the image was padded."""
        return labels_at(self.network.padded_labels(label_map), features.shape[-2:])

    def semantic_cross_entropy(self, features: Tensor, label_map: Tensor, domain: float) -> Tensor:
        """How far the discriminator is from saying of features that they are of their class in `domain`."""
        labels, judge = self.labels_of(features, label_map), self.discriminators["features"]
        if self.settings.semantic_adversary == "csa":
            return cross_entropy_of_locations(judge(features), answers(labels, self.number_of_classes, domain))
        means, labels = class_means(features, labels, self.number_of_classes)
        return cross_entropy_of_classes(judge(means), answers(labels, self.number_of_classes, domain))


def probabilities(output: SegmenterOutput) -> Tensor:
    """The classes' probabilities by the main head, (B, K, H, W)."""
    return output.main.float().softmax(dim=1)
