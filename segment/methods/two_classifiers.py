"""What the methods have in common that give a segmenter a second classifier and listen to where the two disagree.

The second one serves training alone: what is evaluated and handed on is the network with its own classifier.
"""

from typing import Any, NamedTuple, Self

from torch import Tensor

from segment.adaptation.feature_norm import Domain
from segment.methods.segmenter_training import SegmenterTraining, SegmenterTrainingSettings, parameter_groups
from segment.networks.second_classifier import SecondClassifier
from segment.networks.segmenter import Segmenter, SegmenterOutput


class TwoViews(NamedTuple):
    """What both classifiers say of a batch of images, from one pass."""

    output: SegmenterOutput
    """What the network says, by its own classifier."""
    second: Tensor
    """(B, K, H, W): logits of the second classifier, at the images' size."""
    features: Tensor
    """(B, C, h, w): what both classify."""


class TwoClassifiers(SegmenterTraining):
    """A segmenter, and a second classifier of its features with weights of its own.

    Both learn the labels by the same loss. The second learns by the network's optimizer, at the rate of its heads.
    """

    def __init__(
        self, network: Segmenter, training: SegmenterTrainingSettings, settings: Any, **collaborators: Any
    ) -> None:
        super().__init__(network, training, settings, **collaborators)
        self.second_classifier = SecondClassifier(self.network)
        rate = training.learning_rate * training.head_learning_rate
        for group in parameter_groups(self.second_classifier, training.weight_decay, rate):
            self._optimizers["network"].add_param_group(group)

    def train(self, mode: bool = True) -> Self:
        """Training mode, but for what is frozen, in the second classifier too."""
        super().train(mode)
        self._freeze(self.second_classifier)
        return self

    def views(self, image: Tensor, domain: Domain) -> TwoViews:
        """What both classifiers say of images (B, 3, H, W) that are learnt from, and whose they are."""
        output, features = self.output_and_map(self.network.with_features, image, domain)
        second = self.network.at_image_size(self.second_classifier(features), *image.shape[-2:])
        return TwoViews(output, second, features)

    def losses_of_both(self, views: TwoViews, label_map: Tensor) -> dict[str, Tensor]:
        """The network's supervised losses, and "second", the second classifier's: as the main one's."""
        losses = self.supervised_losses(views.output, label_map)
        return losses | {"second": self.loss(views.second, label_map, self.class_weights)}
