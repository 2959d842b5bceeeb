"""BiSeNet with ResNet-18, a real-time segmenter of two paths: a shallow one keeps detail, a deep one gathers context.

Yu et al.: BiSeNet: Bilateral Segmentation Network for Real-time Semantic Segmentation, ECCV 2018 (arXiv:1808.00897).
Modules bear the names of CoinCheung's code, in which most train it, so its published weights load without renaming.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from segment.networks.ddrnet import BasicBlock
from segment.networks.segmenter import Segmenter, SegmenterOutput, refuse_single_image

# ------------------------------------------------------------------------------------------------------------- blocks


class ConvBlock(nn.Module):
    """Convolve, normalise, rectify; the size is kept, or divided by the stride rounding up."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 3, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, bias=False)
        self.bn = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.bn(self.conv(x)))


class Head(nn.Module):
    """A 3x3 convolution and the classifier."""

    def __init__(self, inputs: int, planes: int, outputs: int, bias: bool) -> None:
        super().__init__()
        self.conv = ConvBlock(inputs, planes)
        self.conv_out = nn.Conv2d(planes, outputs, 1, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv_out(self.conv(x))


class AttentionRefinement(nn.Module):
    """Weigh each channel by what the whole image says of it (sec. 3.2)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = ConvBlock(inputs, outputs)
        self.conv_atten = nn.Conv2d(outputs, outputs, 1, bias=False)
        self.bn_atten = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        return x * self.bn_atten(self.conv_atten(pooled(x))).sigmoid()


class FeatureFusion(nn.Module):
    """Detail and context side by side; a channel counts up to twice if the whole image asks for it (sec. 3.3)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.convblk = ConvBlock(inputs, outputs, 1)
        # The paper has two convolutions with a ReLU between them. The published weights were trained with these.
        self.conv = nn.Conv2d(outputs, outputs, 1, bias=False)
        self.bn = nn.BatchNorm2d(outputs)

    def forward(self, detail: Tensor, context: Tensor) -> Tensor:
        x = self.convblk(torch.cat([detail, context], dim=1))
        return x + x * self.bn(self.conv(pooled(x))).sigmoid()


class ResNet18(nn.Module):
    """The encoder of the context path, under torchvision's names, so that ImageNet weights fit."""

    def __init__(self, planes: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, planes, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.layer1 = nn.Sequential(BasicBlock(planes, planes), BasicBlock(planes, planes))
        self.layer2 = self._stage(planes, 2 * planes)
        self.layer3 = self._stage(2 * planes, 4 * planes)
        self.layer4 = self._stage(4 * planes, 8 * planes)

    def _stage(self, inputs: int, outputs: int) -> nn.Sequential:
        return nn.Sequential(BasicBlock(inputs, outputs, stride=2), BasicBlock(outputs, outputs))

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        x = F.relu(self.bn1(self.conv1(image)))
        x = F.max_pool2d(x, 3, stride=2, padding=1)
        middle = self.layer3(self.layer2(self.layer1(x)))  # (B, 4 planes, H/16, W/16)
        return middle, self.layer4(middle)  # (B, 8 planes, H/32, W/32)


class ContextPath(nn.Module):
    """The way back from 1/32 to 1/8, on which each scale is weighed by its own context; a subclass has the encoder."""

    def add_refinement(self, middle: int, deep: int, width: int) -> None:
        """Build what `refine` needs, behind the encoder; channels at 1/16, at 1/32, and of the result."""
        self.arm16 = AttentionRefinement(middle, width)
        self.arm32 = AttentionRefinement(deep, width)
        self.conv_head32 = ConvBlock(width, width)
        self.conv_head16 = ConvBlock(width, width)
        self.conv_avg = ConvBlock(deep, width, 1)

    def refine(self, middle: Tensor, deep: Tensor) -> tuple[Tensor, Tensor]:
        """Features at 1/16 and 1/32 -> `width` channels at 1/8 and, on the way there, at 1/16."""
        context = self.arm32(deep) + self.conv_avg(pooled(deep))
        late = self.conv_head32(F.interpolate(context, scale_factor=2, mode="nearest"))  # (B, width, H/16, W/16)
        context = self.arm16(middle) + late
        return self.conv_head16(F.interpolate(context, scale_factor=2, mode="nearest")), late


class ResNetContext(ContextPath):
    """The context path of this paper."""

    def __init__(self, planes: int) -> None:
        super().__init__()
        self.resnet = ResNet18(planes)
        self.add_refinement(middle=4 * planes, deep=8 * planes, width=2 * planes)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        return self.refine(*self.resnet(image))


class SpatialPath(nn.Module):
    """Three strided convolutions, wide and shallow, to 1/8 (sec. 3.1)."""

    def __init__(self, planes: int) -> None:
        super().__init__()
        self.conv1 = ConvBlock(3, planes, 7, stride=2)
        self.conv2 = ConvBlock(planes, planes, stride=2)
        self.conv3 = ConvBlock(planes, planes, stride=2)
        self.conv_out = ConvBlock(planes, 2 * planes, 1)

    def forward(self, image: Tensor) -> Tensor:
        return self.conv_out(self.conv3(self.conv2(self.conv1(image))))


def pooled(x: Tensor) -> Tensor:
    """The mean over the map, (B, C, 1, 1)."""
    return x.mean((2, 3), keepdim=True)


def initialise(network: nn.Module, encoder: nn.Module) -> None:
    """Draw weights that keep the variance; in the encoder, which has a ReLU behind each one, by fan-out for ReLU."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, a=1)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    for module in encoder.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")


# ------------------------------------------------------------------------------------------------------------ network


class BiSeNetV1(Segmenter):
    """Spatial path and context path, fused at 1/8; two auxiliary heads on the context path, at 1/8 and at 1/16."""

    stride = 32
    auxiliary_weight = 1.0
    encoder = "cp.resnet.layer4"
    classifier = "conv_out"
    encoder_keys = ("cp.resnet.",)

    def __init__(self, num_classes: int, planes: int, auxiliary: bool = True) -> None:
        """Build with random weights.

        Args:
            num_classes: K, channels of the logits.
            planes: Width of both stems, from which all other widths follow.
            auxiliary: Whether there are the two heads that only training uses.
        """
        super().__init__()
        self.cp = ResNetContext(planes)
        self.sp = SpatialPath(planes)
        self.ffm = FeatureFusion(4 * planes, 4 * planes)
        self.conv_out = Head(4 * planes, 4 * planes, num_classes, bias=True)
        self.conv_out16 = Head(2 * planes, planes, num_classes, bias=True) if auxiliary else None
        self.conv_out32 = Head(2 * planes, planes, num_classes, bias=True) if auxiliary else None
        initialise(self, self.cp.resnet)

    def coarse_logits(self, normalised: Tensor) -> SegmenterOutput:
        """Logits (B, K, H/8, W/8); the auxiliary ones, at 1/8 and 1/16, in training mode only."""
        refuse_single_image(self, normalised, pooled_norm=self.cp.conv_avg.bn)
        context, late = self.cp(normalised)  # (B, 2 planes, H/8, W/8) and at 1/16
        main = self.conv_out(self.ffm(self.sp(normalised), context))
        if not self.training or self.conv_out16 is None or self.conv_out32 is None:
            return SegmenterOutput(main)
        return SegmenterOutput(main, (self.conv_out16(context), self.conv_out32(late)))


def bisenetv1(num_classes: int = 19, auxiliary: bool = True) -> BiSeNetV1:
    """13.3 M parameters and 118 G multiply-adds at 1024x2048; 75.4 mIoU on Cityscapes val in CoinCheung's hands."""
    return BiSeNetV1(num_classes, planes=64, auxiliary=auxiliary)
