"""DDRNet-23, slim or not, and DDRNet-39, real-time segmenters: one stream stays at 1/8 of the size, one goes to 1/64.

Hong, Pan, Sun, Jia: Deep Dual-resolution Networks for Real-time and Accurate Semantic Segmentation of Road Scenes
(arXiv:2101.06085). Modules bear the names of the authors' code, so their published weights load without renaming.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from segment.networks.segmenter import Segmenter, SegmenterOutput, refuse_single_image

# ------------------------------------------------------------------------------------------------------------- blocks


def conv(inputs: int, outputs: int, kernel: int, stride: int = 1) -> nn.Conv2d:
    """A convolution without bias that keeps the size, or divides it by the stride rounding up."""
    return nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, bias=False)


def normalised_conv(inputs: int, outputs: int, kernel: int, stride: int = 1) -> nn.Sequential:
    """Convolve and normalise: the order of shortcuts and of whatever passes between streams."""
    return nn.Sequential(conv(inputs, outputs, kernel, stride), nn.BatchNorm2d(outputs))


def activated_conv(inputs: int, outputs: int, kernel: int) -> list[nn.Module]:
    """Normalise, rectify, convolve: the order of DAPPM and of the heads, which follow sums without ReLU."""
    return [nn.BatchNorm2d(inputs), nn.ReLU(), conv(inputs, outputs, kernel)]


class BasicBlock(nn.Module):
    """Two 3x3 convolutions beside a shortcut."""

    expansion = 1

    def __init__(self, inputs: int, planes: int, stride: int = 1, final_relu: bool = True) -> None:
        super().__init__()
        self.conv1 = conv(inputs, planes, 3, stride)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = conv(planes, planes, 3)
        self.bn2 = nn.BatchNorm2d(planes)
        self.downsample = projection(inputs, planes, stride)
        self.final_relu = final_relu

    def forward(self, x: Tensor) -> Tensor:
        residual = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        total = residual + self.downsample(x)
        return F.relu(total) if self.final_relu else total


class Bottleneck(nn.Module):
    """1x1, 3x3 and a widening 1x1 convolution beside a shortcut."""

    expansion = 2

    def __init__(self, inputs: int, planes: int, stride: int = 1, final_relu: bool = True) -> None:
        super().__init__()
        outputs = planes * self.expansion
        self.conv1 = conv(inputs, planes, 1)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = conv(planes, planes, 3, stride)
        self.bn2 = nn.BatchNorm2d(planes)
        self.conv3 = conv(planes, outputs, 1)
        self.bn3 = nn.BatchNorm2d(outputs)
        self.downsample = projection(inputs, outputs, stride)
        self.final_relu = final_relu

    def forward(self, x: Tensor) -> Tensor:
        residual = F.relu(self.bn1(self.conv1(x)))
        residual = F.relu(self.bn2(self.conv2(residual)))
        total = self.bn3(self.conv3(residual)) + self.downsample(x)
        return F.relu(total) if self.final_relu else total


def projection(inputs: int, outputs: int, stride: int) -> nn.Module:
    """The shortcut of a block: a 1x1 convolution where the shape changes, else the identity (which has no keys)."""
    if stride == 1 and inputs == outputs:
        return nn.Identity()
    return normalised_conv(inputs, outputs, 1, stride)


def stage(
    block: type[BasicBlock] | type[Bottleneck], inputs: int, planes: int, blocks: int, stride: int = 1
) -> nn.Sequential:
    """Blocks in a row; the last one leaves the ReLU out, because the streams are summed before they are rectified."""
    widths = [inputs] + [planes * block.expansion] * (blocks - 1)
    return nn.Sequential(
        *(
            block(width, planes, stride if index == 0 else 1, final_relu=index < blocks - 1)
            for index, width in enumerate(widths)
        )
    )


def quartering(high: int, planes: int) -> nn.Sequential:
    """The way from 1/8 of the resolution to 1/32, in two steps."""
    return nn.Sequential(
        *normalised_conv(high, planes * 4, 3, stride=2),
        nn.ReLU(),
        *normalised_conv(planes * 4, planes * 8, 3, stride=2),
    )


def resize(x: Tensor, like: Tensor) -> Tensor:
    """Bilinear, with the corner convention of the published weights."""
    return F.interpolate(x, like.shape[-2:], mode="bilinear", align_corners=False)


class DAPPM(nn.Module):
    """Deep aggregation pyramid pooling (sec. III-C): context of four widths, each refining the narrower one."""

    def __init__(self, inputs: int, branch: int, outputs: int) -> None:
        super().__init__()
        self.scale0 = nn.Sequential(*activated_conv(inputs, branch, 1))
        self.scale1 = nn.Sequential(nn.AvgPool2d(5, 2, 2), *activated_conv(inputs, branch, 1))
        self.scale2 = nn.Sequential(nn.AvgPool2d(9, 4, 4), *activated_conv(inputs, branch, 1))
        self.scale3 = nn.Sequential(nn.AvgPool2d(17, 8, 8), *activated_conv(inputs, branch, 1))
        self.scale4 = nn.Sequential(nn.AdaptiveAvgPool2d(1), *activated_conv(inputs, branch, 1))
        self.process1 = nn.Sequential(*activated_conv(branch, branch, 3))
        self.process2 = nn.Sequential(*activated_conv(branch, branch, 3))
        self.process3 = nn.Sequential(*activated_conv(branch, branch, 3))
        self.process4 = nn.Sequential(*activated_conv(branch, branch, 3))
        self.compression = nn.Sequential(*activated_conv(5 * branch, outputs, 1))
        self.shortcut = nn.Sequential(*activated_conv(inputs, outputs, 1))

    def forward(self, x: Tensor) -> Tensor:
        y0 = self.scale0(x)
        y1 = self.process1(y0 + resize(self.scale1(x), like=x))
        y2 = self.process2(y1 + resize(self.scale2(x), like=x))
        y3 = self.process3(y2 + resize(self.scale3(x), like=x))
        y4 = self.process4(y3 + resize(self.scale4(x), like=x))
        return self.compression(torch.cat([y0, y1, y2, y3, y4], dim=1)) + self.shortcut(x)


class SegmentationHead(nn.Module):
    """A 3x3 convolution and the classifier."""

    def __init__(self, inputs: int, planes: int, num_classes: int) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(inputs)
        self.conv1 = conv(inputs, planes, 3)
        self.bn2 = nn.BatchNorm2d(planes)
        self.conv2 = nn.Conv2d(planes, num_classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv1(F.relu(self.bn1(x)))
        return self.conv2(F.relu(self.bn2(x)))


# ------------------------------------------------------------------------------------------------------------ network


def exchange(low: Tensor, high: Tensor, down: nn.Module, compression: nn.Module) -> tuple[Tensor, Tensor]:
    """Each stream plus what the other one knows, brought to its size; both come and go before their ReLU."""
    return low + down(F.relu(high)), high + resize(compression(F.relu(low)), like=high)


class DDRNet(Segmenter):
    """Two residual streams that exchange their features twice, pooled context on the deep one, one head.

    Names that end in an underscore belong to the stream at 1/8 resolution, as in the authors' code.
    """

    blocks: tuple[int, int, int] = (2, 2, 2)
    """In the first, the second and the fourth stage; the third is the subclass's own."""

    stride = 8
    encoder = "layer5"
    classifier = "final_layer"

    def __init__(
        self, num_classes: int, planes: int, pooling_planes: int, head_planes: int, auxiliary: bool = True
    ) -> None:
        """Build with random weights.

        Args:
            num_classes: K, channels of the logits.
            planes: Width of the stem, from which all other widths follow: 32 is slim, 64 the full DDRNet-23.
            pooling_planes: Width of DAPPM's branches.
            head_planes: Width of the heads.
            auxiliary: Whether there is a second head, on the high-resolution stream, that only training uses.
        """
        super().__init__()
        high = planes * 2
        self.conv1 = nn.Sequential(
            nn.Conv2d(3, planes, 3, stride=2, padding=1),
            nn.BatchNorm2d(planes),
            nn.ReLU(),
            nn.Conv2d(planes, planes, 3, stride=2, padding=1),
            nn.BatchNorm2d(planes),
            nn.ReLU(),
        )
        self.layer1 = stage(BasicBlock, planes, planes, self.blocks[0])
        self.layer2 = stage(BasicBlock, planes, planes * 2, self.blocks[1], stride=2)

        # In this order, on which it depends what weights a seed draws.
        self._add_deep_stream(planes)
        self._add_high_stream(planes, high)
        self._add_exchanges(planes, high)
        self.spp = DAPPM(planes * 16, pooling_planes, planes * 4)
        self.seghead_extra = SegmentationHead(high, head_planes, num_classes) if auxiliary else None
        self.final_layer = SegmentationHead(planes * 4, head_planes, num_classes)
        self._initialise()

    def _add_deep_stream(self, planes: int) -> None:
        self.layer3 = stage(BasicBlock, planes * 2, planes * 4, blocks=2, stride=2)
        self.layer4 = stage(BasicBlock, planes * 4, planes * 8, self.blocks[2], stride=2)
        self.layer5 = stage(Bottleneck, planes * 8, planes * 8, blocks=1, stride=2)

    def _add_high_stream(self, planes: int, high: int) -> None:
        self.layer3_ = stage(BasicBlock, planes * 2, high, blocks=2)
        self.layer4_ = stage(BasicBlock, high, high, self.blocks[2])
        self.layer5_ = stage(Bottleneck, high, high, blocks=1)

    def _add_exchanges(self, planes: int, high: int) -> None:
        self.compression3 = normalised_conv(planes * 4, high, 1)
        self.compression4 = normalised_conv(planes * 8, high, 1)
        self.down3 = normalised_conv(high, planes * 4, 3, stride=2)
        self.down4 = quartering(high, planes)

    def _initialise(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def coarse_logits(self, normalised: Tensor) -> SegmenterOutput:
        """Logits (B, K, H/8, W/8); the auxiliary ones in training mode only."""
        refuse_single_image(self, normalised, pooled_norm=self.spp.scale4[1])
        x = self.layer1(self.conv1(normalised))  # (B, planes, H/4, W/4)
        x = F.relu(self.layer2(F.relu(x)))  # (B, 2 planes, H/8, W/8)

        low, high = self.third_stage(x)  # (B, 4 planes, H/16, W/16) and (B, 2 planes, H/8, W/8)
        third_high = high
        low, high = self.layer4(F.relu(low)), self.layer4_(F.relu(high))
        low, high = exchange(low, high, self.down4, self.compression4)  # low at 1/32

        high = self.layer5_(F.relu(high))
        context = self.spp(self.layer5(F.relu(low)))  # (B, 4 planes, H/64, W/64)
        main = self.final_layer(high + resize(context, like=high))

        needs_auxiliary = self.training and self.seghead_extra is not None
        return SegmenterOutput(main, (self.seghead_extra(third_high),) if needs_auxiliary else ())

    def third_stage(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Both streams, apart for the first time, after they have exchanged their features; before their ReLU."""
        return exchange(self.layer3(x), self.layer3_(x), self.down3, self.compression3)


class DDRNet39(DDRNet):
    """The deeper form: its third stage is two, with an exchange after each."""

    blocks = (3, 4, 3)

    def _add_deep_stream(self, planes: int) -> None:
        self.layer3_1 = stage(BasicBlock, planes * 2, planes * 4, blocks=3, stride=2)
        self.layer3_2 = stage(BasicBlock, planes * 4, planes * 4, blocks=3)
        self.layer4 = stage(BasicBlock, planes * 4, planes * 8, self.blocks[2], stride=2)
        self.layer5 = stage(Bottleneck, planes * 8, planes * 8, blocks=1, stride=2)

    def _add_high_stream(self, planes: int, high: int) -> None:
        self.layer3_1_ = stage(BasicBlock, planes * 2, high, blocks=3)
        self.layer3_2_ = stage(BasicBlock, high, high, blocks=3)
        self.layer4_ = stage(BasicBlock, high, high, self.blocks[2])
        self.layer5_ = stage(Bottleneck, high, high, blocks=1)

    def _add_exchanges(self, planes: int, high: int) -> None:
        self.compression3_1 = normalised_conv(planes * 4, high, 1)
        self.compression3_2 = normalised_conv(planes * 4, high, 1)
        self.compression4 = normalised_conv(planes * 8, high, 1)
        self.down3_1 = normalised_conv(high, planes * 4, 3, stride=2)
        self.down3_2 = normalised_conv(high, planes * 4, 3, stride=2)
        self.down4 = quartering(high, planes)

    def third_stage(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """As in DDRNet, twice."""
        low, high = exchange(self.layer3_1(x), self.layer3_1_(x), self.down3_1, self.compression3_1)
        low, high = self.layer3_2(F.relu(low)), self.layer3_2_(F.relu(high))
        return exchange(low, high, self.down3_2, self.compression3_2)


def ddrnet23_slim(num_classes: int = 19, auxiliary: bool = True) -> DDRNet:
    """5.70 M parameters and 36.3 G multiply-adds at 1024x2048; 77.8 mIoU on Cityscapes val in the authors' hands."""
    return DDRNet(num_classes, planes=32, pooling_planes=128, head_planes=64, auxiliary=auxiliary)


def ddrnet23(num_classes: int = 19, auxiliary: bool = True) -> DDRNet:
    """20.1 M parameters and 143 G multiply-adds at 1024x2048; 79.5 mIoU on Cityscapes val in the authors' hands."""
    return DDRNet(num_classes, planes=64, pooling_planes=128, head_planes=128, auxiliary=auxiliary)


def ddrnet39(num_classes: int = 19, auxiliary: bool = True) -> DDRNet39:
    """32.4 M parameters and 281 G multiply-adds at 1024x2048; 80.4 mIoU on Cityscapes test in the authors' hands."""
    return DDRNet39(num_classes, planes=64, pooling_planes=128, head_planes=256, auxiliary=auxiliary)
