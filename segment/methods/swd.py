"""SWD: two classifiers look for target features that they disagree about, and the encoder takes these away.

Lee, Batra, Baig, Ulbricht, "Sliced Wasserstein Discrepancy for Unsupervised Domain Adaptation", CVPR 2019
(arXiv:1903.04064), after the scheme of Saito et al., CVPR 2018 (arXiv:1712.02560). How far two opinions lie apart is
the cost of moving one onto the other, which has a gradient even where they have nothing in common.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from segment.adaptation.discrepancy import sliced_wasserstein, unit_directions
from segment.batches import AdaptationBatch
from segment.counting import StepCount
from segment.freezing import frozen
from segment.methods.method import Update
from segment.methods.segmenter_training import LearnsFrom, SegmenterTrainingSettings, build_optimizer
from segment.methods.two_classifiers import TwoClassifiers
from segment.networks.segmenter import Segmenter
from segment.settings import PositiveFloat, PositiveInt, check_settings


@dataclass(frozen=True)
class SWDSettings:
    """The authors published only their code for points of two dimensions; `projections` is from there."""

    discrepancy_weight: PositiveFloat = 1.0
    """Weight of the discrepancy on target frames, in both steps that it has a part in. It is a small number, being a
    mean of squares: on toy world 0.003 and falling, beside a loss on labels of 0.8."""
    projections: PositiveInt = 128
    """Directions along which the discrepancy is measured."""
    pixels: PositiveInt = 4096
    """At most so many locations of each frame's map of logits are compared, drawn anew in each step: sorting all would
    take longer than the network."""
    encoder_steps: PositiveInt = 1
    """How often in a step the encoder learns to make the classifiers agree; k in Saito et al., who have 4."""

    def __post_init__(self) -> None:
        check_settings(self)


class SWD(TwoClassifiers):
    """A segmenter with a second classifier, and an optimizer for both classifiers beside that of all else.

    What is not the network's classifier counts as its encoder here. Differs: locations are compared at the size at
    which the classifiers answer, before their logits are brought to the size of the image; and the network that is
    evaluated answers by its own classifier.
    """

    learns_from: ClassVar[LearnsFrom] = "adaptation"
    title: ClassVar[str] = "SWD"
    Settings = SWDSettings
    settings: SWDSettings

    def __init__(
        self, network: Segmenter, training: SegmenterTrainingSettings, settings: SWDSettings, **collaborators: Any
    ) -> None:
        super().__init__(network, training, settings, **collaborators)
        own = {id(parameter) for classifier in self.classifiers() for parameter in classifier.parameters()}
        whole = self._optimizers.pop("network")
        self._optimizers["network"] = self._optimizer_of_part(whole, lambda parameter: id(parameter) not in own)
        self._optimizers["classifiers"] = self._optimizer_of_part(whole, lambda parameter: id(parameter) in own)
        self.steps_taken = StepCount()

    def _optimizer_of_part(self, whole: Optimizer, belongs: Callable[[nn.Parameter], bool]) -> Optimizer:
        """One of the kind of `whole`, with its groups' decays and rates, for the parameters that belong."""
        groups = [group | {"params": [one for one in group["params"] if belongs(one)]} for group in whole.param_groups]
        training = self.training_settings
        return build_optimizer(training.optimizer, groups, training.learning_rate, training.momentum)

    def classifiers(self) -> tuple[nn.Module, nn.Module]:
        """The network's own and the second one."""
        return self.network.classifying_module(), self.second_classifier

    def step(self, batch: AdaptationBatch, update: Update) -> dict[str, Tensor]:
        """Learn the labels; let the classifiers drift apart on the target; have the encoder bring them together again.

        Lee et al., the three steps of their training.
        """
        labelled, target = self.augmented(batch.source), self.augmented_target(batch)
        learnt = update.backward(self.losses_of_both(self.views(labelled.image, "source"), labelled.label_map))
        update.step("network", "classifiers")

        # The pass with gradient first: some versions of torch keep the bf16 weights of a pass without for the next one.
        features = self.network.with_features(target)[1]
        with torch.no_grad():
            known = self.network.with_features(labelled.image)[1]
        learnt |= update("classifiers", self.classifier_losses(known, labelled.label_map, features.detach()))

        learnt |= update("network", self.encoder_losses(features))
        for number in range(2, self.settings.encoder_steps + 1):
            features = self.network.with_features(target)[1]
            learnt |= update("network", self.encoder_losses(features, f"discrepancy_{number}"))
        self.follow()
        self.steps_taken.advance()
        return learnt

    def classifier_losses(self, known: Tensor, label_map: Tensor, features: Tensor) -> dict[str, Tensor]:
        """What the classifiers pay for mistaking source features, and for agreeing on target features: step 2.

        Args:
            known: Features of the source (B, C, h, w), constants.
            label_map: Theirs, (B, H, W).
            features: Of the target, constants.
        """
        said = [self.network.at_image_size(one(known), *label_map.shape[-2:]) for one in self.classifiers()]
        mistakes = [self.loss(logits, label_map, self.class_weights) for logits in said]
        return {
            "classifiers": mistakes[0] + mistakes[1],
            "agreement": -self.settings.discrepancy_weight * self.discrepancy(features),
        }

    def encoder_losses(self, features: Tensor, name: str = "discrepancy") -> dict[str, Tensor]:
        """What the encoder pays for target features (B, C, h, w) that the classifiers disagree about: step 3.

        And for short ones, where a setting says so: no loss is made of the network's own output in this pass.
        """
        with frozen(*self.classifiers()):
            losses = {name: self.settings.discrepancy_weight * self.discrepancy(features)}
        if self.feature_norm is not None:
            losses[f"{name}_norm"] = self.feature_norm.loss(features, "target")
        return losses

    def discrepancy(self, features: Tensor) -> Tensor:
        """How far the classifiers' answers on features lie apart, along directions and at locations drawn per step.

        The draw follows from the number of the step, so it is the same in all processes and in both steps that take it.
        """
        random = torch.Generator().manual_seed(self.steps_taken.value)
        first, second = (one(features).flatten(2) for one in self.classifiers())  # (B, K, N)
        directions = unit_directions(first.shape[1], self.settings.projections, random)
        locations = torch.randperm(first.shape[2], generator=random)[: self.settings.pixels]
        locations = locations.to(features.device, non_blocking=True)
        samples = [said[..., locations].float().softmax(dim=1).mT for said in (first, second)]
        return sliced_wasserstein(*samples, directions)
