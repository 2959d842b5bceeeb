"""BiSeNetV2, a real-time segmenter made to train from scratch: wide shallow detail and thin deep semantics, fused.

Yu et al.: BiSeNet V2: Bilateral Network with Guided Aggregation for Real-time Semantic Segmentation, IJCV 2021
(arXiv:2004.02147). Modules bear the names of CoinCheung's code, so its published weights load without renaming.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from segment.networks.bisenetv1 import ConvBlock, pooled
from segment.networks.segmenter import Segmenter, SegmenterOutput, refuse_single_image

EXPANSION = 6
"""How much wider a gather-and-expand layer is inside."""

# ------------------------------------------------------------------------------------------------------------- blocks


def channelwise(inputs: int, outputs: int, stride: int = 1) -> list[nn.Module]:
    """A normalised 3x3 convolution in which an output sees one input channel alone."""
    conv = nn.Conv2d(inputs, outputs, 3, stride, padding=1, groups=inputs, bias=False)
    return [conv, nn.BatchNorm2d(outputs)]


def pointwise(inputs: int, outputs: int) -> list[nn.Module]:
    """A normalised 1x1 convolution."""
    return [nn.Conv2d(inputs, outputs, 1, bias=False), nn.BatchNorm2d(outputs)]


class DetailBranch(nn.Module):
    """Eight 3x3 convolutions, wide and without shortcuts, to 1/8 (sec. 4.1)."""

    def __init__(self, planes: int) -> None:
        super().__init__()
        self.S1 = nn.Sequential(ConvBlock(3, planes, stride=2), ConvBlock(planes, planes))
        self.S2 = nn.Sequential(
            ConvBlock(planes, planes, stride=2), ConvBlock(planes, planes), ConvBlock(planes, planes)
        )
        wide = 2 * planes
        self.S3 = nn.Sequential(ConvBlock(planes, wide, stride=2), ConvBlock(wide, wide), ConvBlock(wide, wide))

    def forward(self, image: Tensor) -> Tensor:
        return self.S3(self.S2(self.S1(image)))


class Stem(nn.Module):
    """To 1/4 in two ways, by convolution and by pooling, side by side (sec. 4.2)."""

    def __init__(self, planes: int) -> None:
        super().__init__()
        self.conv = ConvBlock(3, planes, stride=2)
        self.left = nn.Sequential(ConvBlock(planes, planes // 2, 1), ConvBlock(planes // 2, planes, stride=2))
        self.right = nn.MaxPool2d(3, stride=2, padding=1)
        self.fuse = ConvBlock(2 * planes, planes)

    def forward(self, image: Tensor) -> Tensor:
        x = self.conv(image)
        return self.fuse(torch.cat([self.left(x), self.right(x)], dim=1))


class GatherExpand(nn.Module):
    """Gather by a 3x3 convolution, expand channel by channel, project back, beside the identity (fig. 5b)."""

    def __init__(self, planes: int) -> None:
        super().__init__()
        self.conv1 = ConvBlock(planes, planes)
        self.dwconv = nn.Sequential(*channelwise(planes, EXPANSION * planes), nn.ReLU())
        self.conv2 = nn.Sequential(*pointwise(EXPANSION * planes, planes))

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.conv2(self.dwconv(self.conv1(x))))


class StridedGatherExpand(nn.Module):
    """Gather and expand to half the resolution, with a separable convolution for a shortcut (fig. 5c)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        expanded = EXPANSION * inputs
        self.conv1 = ConvBlock(inputs, inputs)
        self.dwconv1 = nn.Sequential(*channelwise(inputs, expanded, stride=2))
        self.dwconv2 = nn.Sequential(*channelwise(expanded, expanded), nn.ReLU())
        self.conv2 = nn.Sequential(*pointwise(expanded, outputs))
        self.shortcut = nn.Sequential(*channelwise(inputs, inputs, stride=2), *pointwise(inputs, outputs))

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.shortcut(x) + self.conv2(self.dwconv2(self.dwconv1(self.conv1(x)))))


class ContextEmbedding(nn.Module):
    """Add to every place what the whole image shows (fig. 4b)."""

    def __init__(self, planes: int) -> None:
        super().__init__()
        self.bn = nn.BatchNorm2d(planes)
        self.conv_gap = ConvBlock(planes, planes, 1)
        self.conv_last = ConvBlock(planes, planes)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv_last(x + self.conv_gap(self.bn(pooled(x))))


class SemanticBranch(nn.Module):
    """Down to 1/32 with few channels (sec. 4.2); it hands on what it has at each of its five stages."""

    def __init__(self, planes: int) -> None:
        super().__init__()
        self.S1S2 = Stem(planes)
        self.S3 = nn.Sequential(StridedGatherExpand(planes, 2 * planes), GatherExpand(2 * planes))
        self.S4 = nn.Sequential(StridedGatherExpand(2 * planes, 4 * planes), GatherExpand(4 * planes))
        deepest = (GatherExpand(8 * planes) for _ in range(3))
        self.S5_4 = nn.Sequential(StridedGatherExpand(4 * planes, 8 * planes), *deepest)
        self.S5_5 = ContextEmbedding(8 * planes)

    def forward(self, image: Tensor) -> list[Tensor]:
        features = [image]
        for stage in (self.S1S2, self.S3, self.S4, self.S5_4, self.S5_5):
            features.append(stage(features[-1]))
        return features[1:]  # planes x 1, 2, 4, 8, 8 at 1/4, 1/8, 1/16, 1/32, 1/32


class GuidedAggregation(nn.Module):
    """Each branch is gated by the other, at the resolution of either, and both are summed (sec. 4.3)."""

    def __init__(self, planes: int) -> None:
        super().__init__()
        self.left1 = nn.Sequential(*channelwise(planes, planes), nn.Conv2d(planes, planes, 1, bias=False))
        self.left2 = nn.Sequential(
            nn.Conv2d(planes, planes, 3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(planes),
            nn.AvgPool2d(3, stride=2, padding=1),
        )
        self.right1 = nn.Sequential(nn.Conv2d(planes, planes, 3, padding=1, bias=False), nn.BatchNorm2d(planes))
        self.right2 = nn.Sequential(*channelwise(planes, planes), nn.Conv2d(planes, planes, 1, bias=False))
        self.conv = nn.Sequential(
            nn.Conv2d(planes, planes, 3, padding=1, bias=False), nn.BatchNorm2d(planes), nn.ReLU()
        )

    def forward(self, detail: Tensor, semantics: Tensor) -> Tensor:
        fine = self.left1(detail) * enlarged(self.right1(semantics)).sigmoid()  # (B, C, H/8, W/8)
        coarse = self.left2(detail) * self.right2(semantics).sigmoid()  # (B, C, H/32, W/32)
        return self.conv(fine + enlarged(coarse))


def enlarged(x: Tensor) -> Tensor:
    """Four times the size, each value repeated."""
    return F.interpolate(x, scale_factor=4, mode="nearest")


class Head(nn.Module):
    """A 3x3 convolution, dropout and the classifier; a head that only training uses does more, at twice the size."""

    def __init__(self, inputs: int, planes: int, num_classes: int, enlarged_planes: int | None = None) -> None:
        """Build; `enlarged_planes` is the width at twice the size, None for a head that keeps the size."""
        super().__init__()
        self.conv = ConvBlock(inputs, planes)
        self.drop = nn.Dropout(0.1)
        between: nn.Module = nn.Identity()
        if enlarged_planes is not None:
            between = nn.Sequential(nn.Upsample(scale_factor=2), ConvBlock(planes, enlarged_planes))
        self.conv_out = nn.Sequential(between, nn.Conv2d(enlarged_planes or planes, num_classes, 1))

    def forward(self, x: Tensor) -> Tensor:
        return self.conv_out(self.drop(self.conv(x)))


# ------------------------------------------------------------------------------------------------------------ network


class BiSeNetV2(Segmenter):
    """A detail branch at 1/8 and a semantic one down to 1/32, aggregated; an auxiliary head on four semantic stages.

    Differs: the last normalisation of a gather-and-expand layer begins with scales of 1, in CoinCheung's code of 0.
    """

    stride = 32
    auxiliary_weight = 1.0
    encoder = "segment.S5_4"
    classifier = "head"
    encoder_keys = ("detail.", "segment.")

    def __init__(
        self, num_classes: int, planes: int, head_planes: int, auxiliary_planes: int, auxiliary: bool = True
    ) -> None:
        """Build with random weights.

        Args:
            num_classes: K, channels of the logits.
            planes: Width of the semantic branch's stem, from which those of both branches follow; divides by 2.
            head_planes: Width of the main head.
            auxiliary_planes: Width of the auxiliary heads, before they enlarge their map.
            auxiliary: Whether there are the four heads that only training uses ("booster" in the paper).
        """
        super().__init__()
        self.detail = DetailBranch(4 * planes)
        self.segment = SemanticBranch(planes)
        self.bga = GuidedAggregation(8 * planes)
        self.head = Head(8 * planes, head_planes, num_classes)

        def auxiliary_head(inputs: int, scale: int) -> Head | None:
            return Head(inputs, auxiliary_planes, num_classes, scale * scale) if auxiliary else None

        self.aux2 = auxiliary_head(planes, scale=4)
        self.aux3 = auxiliary_head(2 * planes, scale=8)
        self.aux4 = auxiliary_head(4 * planes, scale=16)
        self.aux5_4 = auxiliary_head(8 * planes, scale=32)
        self._initialise()

    def _initialise(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def coarse_logits(self, normalised: Tensor) -> SegmenterOutput:
        """Logits (B, K, H/8, W/8); the auxiliary ones, at 1/2, 1/4, 1/8 and 1/16, in training mode only."""
        refuse_single_image(self, normalised, pooled_norm=self.segment.S5_5.bn)
        *stages, semantics = self.segment(normalised)
        main = self.head(self.bga(self.detail(normalised), semantics))  # from (B, 8 planes, H/8, W/8)
        if not self.training:
            return SegmenterOutput(main)
        heads = (self.aux2, self.aux3, self.aux4, self.aux5_4)
        pairs = zip(heads, stages, strict=True)
        return SegmenterOutput(main, tuple(head(stage) for head, stage in pairs if head is not None))


def bisenetv2(num_classes: int = 19, auxiliary: bool = True) -> BiSeNetV2:
    """3.36 M parameters and 98 G multiply-adds at 1024x2048; 75.0 mIoU on Cityscapes val in CoinCheung's hands."""
    return BiSeNetV2(num_classes, planes=16, head_planes=1024, auxiliary_planes=128, auxiliary=auxiliary)
