"""PIDNet, real-time segmenters of three branches: detail, context, and boundaries that say which of the two to trust.

Xu, Xiong, Bhattacharyya: PIDNet: A Real-time Semantic Segmentation Network Inspired by PID Controllers, CVPR 2023
(arXiv:2206.02066). The proportional branch keeps detail (P), the integral one gathers context (I), the derivative one
finds boundaries (D). Modules bear the names of the authors' code, so their published weights load without renaming.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from segment.boundaries import balanced_binary_cross_entropy, boundary_map
from segment.classes import IGNORE_INDEX
from segment.losses import cross_entropy
from segment.networks.ddrnet import (
    DAPPM,
    BasicBlock,
    Bottleneck,
    SegmentationHead,
    activated_conv,
    normalised_conv,
    resize,
    stage,
)
from segment.networks.segmenter import Segmenter, SegmenterOutput, refuse_single_image

# ------------------------------------------------------------------------------------------------------------- blocks


class PAPPM(nn.Module):
    """Parallel aggregation pyramid pooling (sec. 3.3): DAPPM with its four widths processed at once."""

    def __init__(self, inputs: int, branch: int, outputs: int) -> None:
        super().__init__()
        self.scale0 = nn.Sequential(*activated_conv(inputs, branch, 1))
        self.scale1 = nn.Sequential(nn.AvgPool2d(5, 2, 2), *activated_conv(inputs, branch, 1))
        self.scale2 = nn.Sequential(nn.AvgPool2d(9, 4, 4), *activated_conv(inputs, branch, 1))
        self.scale3 = nn.Sequential(nn.AvgPool2d(17, 8, 8), *activated_conv(inputs, branch, 1))
        self.scale4 = nn.Sequential(nn.AdaptiveAvgPool2d(1), *activated_conv(inputs, branch, 1))
        self.scale_process = nn.Sequential(
            nn.BatchNorm2d(4 * branch),
            nn.ReLU(),
            nn.Conv2d(4 * branch, 4 * branch, 3, padding=1, groups=4, bias=False),
        )
        self.compression = nn.Sequential(*activated_conv(5 * branch, outputs, 1))
        self.shortcut = nn.Sequential(*activated_conv(inputs, outputs, 1))

    def forward(self, x: Tensor) -> Tensor:
        local = self.scale0(x)
        pooled = [scale(x) for scale in (self.scale1, self.scale2, self.scale3, self.scale4)]
        wide = self.scale_process(torch.cat([local + resize(one, like=x) for one in pooled], dim=1))
        return self.compression(torch.cat([local, wide], dim=1)) + self.shortcut(x)


class Pag(nn.Module):
    """Pixel-attention-guided fusion (sec. 3.2): detail takes context over where the two agree."""

    def __init__(self, channels: int, compared: int) -> None:
        super().__init__()
        self.f_x = normalised_conv(channels, compared, 1)
        self.f_y = normalised_conv(channels, compared, 1)

    def forward(self, detail: Tensor, context: Tensor) -> Tensor:
        agreement = self.f_x(detail) * resize(self.f_y(context), like=detail)
        trust = agreement.sum(dim=1, keepdim=True).sigmoid()  # (B, 1, H/8, W/8)
        return (1 - trust) * detail + trust * resize(context, like=detail)


class Bag(nn.Module):
    """Boundary-attention-guided fusion (sec. 3.4): detail on boundaries, context elsewhere."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Sequential(*activated_conv(channels, channels, 3))

    def forward(self, detail: Tensor, context: Tensor, boundary: Tensor) -> Tensor:
        attention = boundary.sigmoid()
        return self.conv(attention * detail + (1 - attention) * context)


class LightBag(nn.Module):
    """Bag with 1x1 convolutions, in which both branches are also heard unweighted."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv_p = normalised_conv(channels, channels, 1)
        self.conv_i = normalised_conv(channels, channels, 1)

    def forward(self, detail: Tensor, context: Tensor, boundary: Tensor) -> Tensor:
        attention = boundary.sigmoid()
        return self.conv_p(detail + (1 - attention) * context) + self.conv_i(context + attention * detail)


# ------------------------------------------------------------------------------------------------------------ network


class PIDNet(Segmenter):
    """Three residual branches: context goes down to 1/64, detail and boundaries stay at 1/8; fused by Bag, one head.

    As in the authors' code, names that end in `_` belong to the detail branch, those in `_d` to the boundary branch.

    Differs: the heads that only training uses see features before their ReLU. There they see them behind it, for it
    works in place on what was kept for them.
    """

    stride = 8
    align_corners = True  # of the logits alone, as in the authors' evaluation; features are resized without
    encoder = "layer5"
    classifier = "final_layer"

    def __init__(
        self,
        num_classes: int,
        planes: int,
        blocks: tuple[int, int],
        pooling_planes: int,
        head_planes: int,
        light: bool,
        auxiliary: bool = True,
    ) -> None:
        """Build with random weights.

        Args:
            num_classes: K, channels of the logits.
            planes: Width of the stem, from which all other widths follow: 32 in S, 64 in M and L.
            blocks: Residual blocks of each stage before the context branch is alone, and of its third and fourth.
            pooling_planes: Width of the pyramid's branches.
            head_planes: Width of the heads that classify.
            light: The thin boundary branch, PAPPM and LightBag of S and M; else the plain ones of L.
            auxiliary: Whether there are the heads on the detail and on the boundary branch that only training uses.
        """
        super().__init__()
        first, deep = blocks
        high = planes * 2
        self.conv1 = nn.Sequential(
            nn.Conv2d(3, planes, 3, stride=2, padding=1),
            nn.BatchNorm2d(planes),
            nn.ReLU(),
            nn.Conv2d(planes, planes, 3, stride=2, padding=1),
            nn.BatchNorm2d(planes),
            nn.ReLU(),
        )
        self.layer1 = stage(BasicBlock, planes, planes, first)
        self.layer2 = stage(BasicBlock, planes, high, first, stride=2)

        self.layer3 = stage(BasicBlock, high, planes * 4, deep, stride=2)
        self.layer4 = stage(BasicBlock, planes * 4, planes * 8, deep, stride=2)
        # No ReLU between the two, which `stage` would put there: so the published weights were trained.
        self.layer5 = nn.Sequential(
            Bottleneck(planes * 8, planes * 8, stride=2, final_relu=False),
            Bottleneck(planes * 16, planes * 8, final_relu=False),
        )
        self.spp = (PAPPM if light else DAPPM)(planes * 16, pooling_planes, planes * 4)

        self.layer3_ = stage(BasicBlock, high, high, first)
        self.layer4_ = stage(BasicBlock, high, high, first)
        self.layer5_ = stage(Bottleneck, high, high, blocks=1)
        self.compression3 = normalised_conv(planes * 4, high, 1)
        self.compression4 = normalised_conv(planes * 8, high, 1)
        self.pag3 = Pag(high, planes)
        self.pag4 = Pag(high, planes)

        thin = planes if light else high
        self.layer3_d = BasicBlock(high, thin, final_relu=False)
        self.layer4_d = stage(Bottleneck, thin, thin, 1) if light else BasicBlock(thin, thin, final_relu=False)
        self.layer5_d = stage(Bottleneck, high, high, blocks=1)
        self.diff3 = normalised_conv(planes * 4, thin, 3)
        self.diff4 = normalised_conv(planes * 8, high, 3)

        self.dfm = LightBag(planes * 4) if light else Bag(planes * 4)
        self.seghead_p = SegmentationHead(high, head_planes, num_classes) if auxiliary else None
        self.seghead_d = SegmentationHead(high, planes, 1) if auxiliary else None
        self.final_layer = SegmentationHead(planes * 4, head_planes, num_classes)
        self._initialise()

    def _initialise(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def coarse_logits(self, normalised: Tensor) -> SegmenterOutput:
        """Logits (B, K, H/8, W/8); the auxiliary and the boundary ones in training mode only."""
        refuse_single_image(self, normalised, pooled_norm=self.spp.scale4[1])
        x = self.layer1(self.conv1(normalised))  # (B, planes, H/4, W/4)
        x = F.relu(self.layer2(F.relu(x)))  # (B, 2 planes, H/8, W/8)

        context = F.relu(self.layer3(x))  # (B, 4 planes, H/16, W/16)
        detail = self.pag3(self.layer3_(x), self.compression3(context))
        boundary = self.layer3_d(x)
        boundary = boundary + resize(self.diff3(context), like=boundary)
        early_detail = detail

        context = F.relu(self.layer4(context))  # (B, 8 planes, H/32, W/32)
        detail = self.pag4(self.layer4_(F.relu(detail)), self.compression4(context))
        boundary = self.layer4_d(F.relu(boundary))
        boundary = boundary + resize(self.diff4(context), like=boundary)
        late_boundary = boundary

        context = resize(self.spp(self.layer5(context)), like=x)
        detail = self.layer5_(F.relu(detail))
        boundary = self.layer5_d(F.relu(boundary))
        main = self.final_layer(self.dfm(detail, context, boundary))  # from (B, 4 planes, H/8, W/8) each

        if not self.training or self.seghead_p is None or self.seghead_d is None:
            return SegmenterOutput(main)
        return SegmenterOutput(main, (self.seghead_p(early_detail),), self.seghead_d(late_boundary))

    def own_losses(self, output: SegmenterOutput, label_map: Tensor) -> dict[str, Tensor]:
        """Losses of the boundary head, and of the main head where that one is sure of a boundary, if there is one.

        Source: l1 and l3 of sec. 3.1, with the weights of the authors' code: 20 and 1.
            Differs: where their code takes hard pixels for l3 too, this is cross-entropy, as the paper writes it.
        """
        if output.boundary is None:
            return {}
        boundary_loss = balanced_binary_cross_entropy(output.boundary, boundary_map(label_map))
        sure = output.boundary.squeeze(1).sigmoid() > 0.8
        return {
            "boundary": 20 * boundary_loss,
            "boundary_aware": cross_entropy(output.main, label_map.where(sure, IGNORE_INDEX)),
        }


def pidnet_s(num_classes: int = 19, auxiliary: bool = True) -> PIDNet:
    """7.6 M parameters and 47.2 G multiply-adds at 1024x2048; 78.8 mIoU on Cityscapes val in the authors' hands."""
    return PIDNet(num_classes, 32, (2, 3), pooling_planes=96, head_planes=128, light=True, auxiliary=auxiliary)


def pidnet_m(num_classes: int = 19, auxiliary: bool = True) -> PIDNet:
    """28.5 M parameters and 177 G multiply-adds at 1024x2048; 79.9 mIoU on Cityscapes val in the authors' hands."""
    return PIDNet(num_classes, 64, (2, 3), pooling_planes=96, head_planes=128, light=True, auxiliary=auxiliary)


def pidnet_l(num_classes: int = 19, auxiliary: bool = True) -> PIDNet:
    """36.9 M parameters and 275 G multiply-adds at 1024x2048; 80.9 mIoU on Cityscapes val in the authors' hands."""
    return PIDNet(num_classes, 64, (3, 4), pooling_planes=112, head_planes=256, light=False, auxiliary=auxiliary)
