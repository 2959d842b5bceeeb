"""PP-LiteSeg, a real-time segmenter: an encoder made for segmentation, cheap pooling of context, a thin decoder.

Peng et al.: PP-LiteSeg: A Superior Real-Time Semantic Segmentation Model (arXiv:2204.02681). The authors wrote it for
another framework. This is the leaner network that zh320 rebuilt for PyTorch; `PPLiteSeg` tells where the two part.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from segment.networks.encoders import ENCODERS
from segment.networks.encoders.encoder import Encoder, Maps
from segment.networks.segmenter import Segmenter, SegmenterOutput, refuse_single_image

# ------------------------------------------------------------------------------------------------------------- blocks


def conv(inputs: int, outputs: int, kernel: int = 3, stride: int = 1) -> nn.Conv2d:
    """A convolution without bias that keeps the size, or divides it by the stride rounding up."""
    return nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, bias=False)


def conv_block(inputs: int, outputs: int, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    """Convolve, normalise, rectify."""
    return nn.Sequential(conv(inputs, outputs, kernel, stride), nn.BatchNorm2d(outputs), nn.ReLU())


def resize(x: Tensor, like: Tensor) -> Tensor:
    """Bilinear, corners on corners."""
    return F.interpolate(x, like.shape[-2:], mode="bilinear", align_corners=True)


class DenseConcatenation(nn.Module):
    """STDC's block (Fan et al., CVPR 2021); where it halves the size, its second convolution has the stride."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        half, quarter, eighth = outputs // 2, outputs // 4, outputs // 8
        self.block1 = conv_block(inputs, half, 1)
        self.block2 = conv_block(half, quarter, 3, stride)
        self.block3 = conv_block(quarter, eighth)
        self.block4 = conv_block(eighth, eighth)
        self.pool = nn.Identity() if stride == 1 else nn.AvgPool2d(3, stride, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        first = self.block1(x)
        second = self.block2(first)
        third = self.block3(second)
        return torch.cat([self.pool(first), second, third, self.block4(third)], dim=1)


class DenseEncoder(Encoder):
    """Two convolutions and three stages, to 1/32."""

    deepest = "stage5"

    def __init__(self, planes: int, blocks: tuple[int, int, int]) -> None:
        """Build with random weights; `planes` is the width at 1/4, `blocks` says how many each of three stages has."""
        super().__init__()
        self.stage1 = conv_block(3, planes // 2, stride=2)
        self.stage2 = conv_block(planes // 2, planes, stride=2)
        self.stage3 = self._stage(planes, 4 * planes, blocks[0])
        self.stage4 = self._stage(4 * planes, 8 * planes, blocks[1])
        self.stage5 = self._stage(8 * planes, 16 * planes, blocks[2])
        self.channels = (planes // 2, planes, 4 * planes, 8 * planes, 16 * planes)

    def _stage(self, inputs: int, outputs: int, blocks: int) -> nn.Sequential:
        others = (DenseConcatenation(outputs, outputs) for _ in range(blocks - 1))
        return nn.Sequential(DenseConcatenation(inputs, outputs, stride=2), *others)

    def forward(self, normalised: Tensor) -> Maps:
        half = self.stage1(normalised)
        quarter = self.stage2(half)
        high = self.stage3(quarter)  # (B, 4 planes, H/8, W/8)
        middle = self.stage4(high)  # (B, 8 planes, H/16, W/16)
        return half, quarter, high, middle, self.stage5(middle)  # (B, 16 planes, H/32, W/32)


class SimplePyramidPooling(nn.Module):
    """Means over the whole map, its quarters and its sixteenths, summed instead of concatenated (sec. 3.3)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.pool1 = nn.Sequential(nn.AdaptiveAvgPool2d(1), conv_block(inputs, inputs // 4, 1))
        self.pool2 = nn.Sequential(nn.AdaptiveAvgPool2d(2), conv_block(inputs, inputs // 4, 1))
        self.pool3 = nn.Sequential(nn.AdaptiveAvgPool2d(4), conv_block(inputs, inputs // 4, 1))
        self.conv = conv(inputs // 4, outputs)

    def forward(self, x: Tensor) -> Tensor:
        means = [resize(pool(x), like=x) for pool in (self.pool1, self.pool2, self.pool3)]
        return self.conv(torch.stack(means).sum(0))


class SpatialAttention(nn.Module):
    """One weight in [0, 1] per place, from the mean and the largest channel of both maps (sec. 3.2)."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = conv(4, 1, 1)

    def forward(self, coarse: Tensor, fine: Tensor) -> Tensor:
        seen = [statistic for x in (coarse, fine) for statistic in (x.mean(1, True), x.amax(1, True))]
        return self.conv(torch.cat(seen, dim=1)).sigmoid()  # (B, 1, H, W)


class AttentionFusion(nn.Module):
    """UAFM, the unified attention fusion module (sec. 3.2): at each place a share of the coarse map, the rest fine."""

    def __init__(self, fine: int, width: int) -> None:
        super().__init__()
        self.conv = conv(fine, width, 1)
        self.attention = SpatialAttention()

    def forward(self, coarse: Tensor, fine: Tensor) -> Tensor:
        fine = self.conv(fine)
        coarse = resize(coarse, like=fine)
        share = self.attention(coarse, fine)
        return share * coarse + (1 - share) * fine


class FlexibleDecoder(nn.Module):
    """From 1/32 to logits at 1/8, whose widths do not depend on those of the encoder (sec. 3.1)."""

    def __init__(self, high: int, middle: int, widths: tuple[int, int, int], num_classes: int) -> None:
        super().__init__()
        self.stage6 = conv_block(widths[0], widths[0])
        self.fusion1 = AttentionFusion(middle, widths[0])
        self.stage7 = conv_block(widths[0], widths[1])
        self.fusion2 = AttentionFusion(high, widths[1])
        self.stage8 = conv_block(widths[1], widths[2])
        self.seg_head = nn.Sequential(conv(widths[2], num_classes), nn.BatchNorm2d(num_classes))

    def forward(self, high: Tensor, middle: Tensor, context: Tensor) -> Tensor:
        x = self.fusion1(self.stage6(context), middle)  # (B, widths[0], H/16, W/16)
        x = self.fusion2(self.stage7(x), high)  # (B, widths[1], H/8, W/8)
        return self.seg_head(self.stage8(x))


# ------------------------------------------------------------------------------------------------------------ network


class PPLiteSeg(Segmenter):
    """An encoder, simple pyramid pooling, and a decoder that attends to one map or the other. No auxiliary heads.

    The paper's encoder is STDC's; its decoder is flexible, so that any may stand there. The image is normalised as the
    encoder's published weights expect it, be they loaded or not.

    As in zh320's code, and other than in the paper: the decoder is thinnest where it is deepest, not widest; fusion and
    its attention are single 1x1 convolutions; the classifier is one normalised 3x3 convolution; a block that halves the
    size has the stride on its second convolution.

    Other than in zh320's code: logits are not rectified, which would forbid them to speak against a class; and the
    encoder is named `backbone`, there `encoder.encoder`. All other names are the same.
    """

    stride = 32
    align_corners = True
    classifier = "decoder.seg_head"
    encoder_keys = ("backbone.",)

    def __init__(self, num_classes: int, backbone: Encoder, widths: tuple[int, int, int]) -> None:
        """Build with random weights.

        Args:
            num_classes: K, channels of the logits.
            backbone: The encoder.
            widths: Of the decoder at 1/32 and 1/16, at 1/8, and before the classifier.
        """
        super().__init__()
        self.backbone, self.encoder = backbone, f"backbone.{backbone.deepest}"
        *_, high, middle, deep = backbone.channels
        self.sppm = SimplePyramidPooling(deep, widths[0])
        self.decoder = FlexibleDecoder(high, middle, widths, num_classes)
        self.normalise_by(backbone.mean, backbone.std)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def coarse_logits(self, normalised: Tensor) -> SegmenterOutput:
        """Logits (B, K, H/8, W/8)."""
        refuse_single_image(self, normalised, pooled_norm=self.sppm.pool1[1][1])
        *_, high, middle, deep = self.backbone(normalised)
        return SegmenterOutput(self.decoder(high, middle, self.sppm(deep)))


def ppliteseg_t(num_classes: int = 19, auxiliary: bool = True) -> PPLiteSeg:
    """6.33 M parameters and 35.5 G multiply-adds at 1024x2048, on STDC1; 72.5 mIoU from scratch in zh320's hands.

    There is no auxiliary head, whatever `auxiliary` says.
    """
    return PPLiteSeg(num_classes, DenseEncoder(64, (2, 2, 2)), widths=(32, 64, 128))


def ppliteseg_b(num_classes: int = 19, auxiliary: bool = True) -> PPLiteSeg:
    """PP-LiteSeg on STDC2, with a wider decoder; 74.4 mIoU from scratch in zh320's hands.

    There is no auxiliary head, whatever `auxiliary` says.
    """
    return PPLiteSeg(num_classes, DenseEncoder(64, (4, 5, 3)), widths=(64, 96, 128))


def ppliteseg(encoder: str, num_classes: int = 19, auxiliary: bool = True) -> PPLiteSeg:
    """PP-LiteSeg-T's decoder on another encoder, by its name in ENCODERS. No published network.

    There is no auxiliary head, whatever `auxiliary` says.
    """
    return PPLiteSeg(num_classes, ENCODERS[encoder](), widths=(32, 64, 128))
