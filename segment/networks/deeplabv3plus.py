"""DeepLabV3+ with WideResNet-38 at 1/8: a large standard network, which stage two's small ones may learn from.

Chen et al., ECCV 2018 (arXiv:1802.02611), as NVIDIA has it (Zhu, Sapra et al., CVPR 2019, arXiv:1812.01593). Modules
bear the names of NVIDIA's DeepWV3Plus, so weights published for it load without renaming.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from segment.networks.encoders.wide_resnet38 import conv, wide_resnet38_features, wide_resnet38_stages
from segment.networks.segmenter import Segmenter, SegmenterOutput, refuse_single_image

DILATIONS = (12, 24, 36)
"""Dilations of the pyramid's branches: the paper's 6, 12 and 18, doubled since features are at 1/8, not 1/16."""

# ------------------------------------------------------------------------------------------------------------- blocks


def conv_norm_relu(inputs: int, outputs: int, kernel: int, dilation: int = 1) -> list[nn.Module]:
    """Convolve, normalise, rectify."""
    return [conv(inputs, outputs, kernel, dilation=dilation), nn.BatchNorm2d(outputs), nn.ReLU()]


def resize(x: Tensor, like: Tensor) -> Tensor:
    """Bilinear, with the corner convention of the published weights."""
    return F.interpolate(x, like.shape[-2:], mode="bilinear", align_corners=True)


class PyramidPooling(nn.Module):
    """Atrous spatial pyramid pooling: the pooled image, a 1x1 and three dilated 3x3 convolutions, joined."""

    def __init__(self, inputs: int, planes: int) -> None:
        super().__init__()
        self.features = nn.ModuleList(
            [
                nn.Sequential(*conv_norm_relu(inputs, planes, 1)),
                *(nn.Sequential(*conv_norm_relu(inputs, planes, 3, dilation)) for dilation in DILATIONS),
            ]
        )
        self.img_conv = nn.Sequential(*conv_norm_relu(inputs, planes, 1))

    def forward(self, x: Tensor) -> Tensor:
        pooled = resize(self.img_conv(F.adaptive_avg_pool2d(x, 1)), like=x)
        return torch.cat([pooled, *(branch(x) for branch in self.features)], dim=1)  # (B, 5 planes, H, W)


# ------------------------------------------------------------------------------------------------------------ network


class DeepLabV3Plus(Segmenter):
    """Deep features at 1/8 with pooled context, joined at 1/2 with fine ones, two 3x3 convolutions, a classifier."""

    stride = 8
    align_corners = True
    encoder = "mod7"
    encoder_keys = tuple(f"mod{number}." for number in range(1, 8))
    classifier = "final"

    def __init__(self, num_classes: int, width: int = 64, planes: int = 256, fine_planes: int = 48) -> None:
        """Build with random weights.

        Args:
            num_classes: K, channels of the logits.
            width: Of the trunk's stem.
            planes: Width of the pyramid's branches and of the decoder.
            fine_planes: Width to which fine features are brought.
        """
        super().__init__()
        for name, trunk_stage in wide_resnet38_stages(width).items():
            self.add_module(name, trunk_stage)
        self.aspp = PyramidPooling(64 * width, planes)
        self.bot_fine = conv(2 * width, fine_planes, 1)
        self.bot_aspp = conv(5 * planes, planes, 1)
        self.final = nn.Sequential(
            *conv_norm_relu(planes + fine_planes, planes, 3),
            *conv_norm_relu(planes, planes, 3),
            conv(planes, num_classes, 1),
        )
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight)

    def coarse_logits(self, normalised: Tensor) -> SegmenterOutput:
        """Logits (B, K, H/2, W/2)."""
        refuse_single_image(self, normalised, pooled_norm=self.aspp.img_conv[1])
        fine, deep = wide_resnet38_features(self, normalised)
        fine, context = self.bot_fine(fine), self.bot_aspp(self.aspp(deep))
        return SegmenterOutput(self.final(torch.cat([fine, resize(context, like=fine)], dim=1)))


def deeplabv3plus_wrn38(num_classes: int = 19, auxiliary: bool = True) -> DeepLabV3Plus:
    """137.1 M parameters and 1456 G multiply-adds at 512x1024; 83.5 mIoU on Cityscapes test in the authors' hands.

    Parameters and arithmetic are our own count. There is no auxiliary head, whatever `auxiliary` says.
    """
    return DeepLabV3Plus(num_classes)
