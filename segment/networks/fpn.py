"""A light feature pyramid on any encoder: context at 1/32, brought back to 1/4 by sums. For two processor cores.

The way back is that of Lin et al.: Feature Pyramid Networks for Object Detection, CVPR 2017 (arXiv:1612.03144); the
context is the mean of the whole map, as in ParseNet (Liu et al., arXiv:1506.04579). No published network is this one.
"""

from torch import Tensor, nn
from torch.nn import functional as F

from segment.networks.encoders import ENCODERS
from segment.networks.encoders.encoder import Encoder, Maps
from segment.networks.segmenter import Segmenter, SegmenterOutput

WIDTH = 96
"""Of the decoder; `benchmarks/encoders.py` measures what others cost and bring."""

# ------------------------------------------------------------------------------------------------------------- blocks


def conv_block(inputs: int, outputs: int, kernel: int = 1) -> nn.Sequential:
    """Convolve, normalise, rectify; the size is kept."""
    conv = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs), nn.ReLU())


def separable_block(inputs: int, outputs: int) -> nn.Sequential:
    """A 3x3 convolution of each channel by itself and a 1x1 one of all, each normalised; rectified once."""
    depthwise = nn.Conv2d(inputs, inputs, 3, padding=1, groups=inputs, bias=False)
    return nn.Sequential(depthwise, nn.BatchNorm2d(inputs), *conv_block(inputs, outputs))


class GlobalContext(nn.Module):
    """The deepest map, narrowed, and at every place the same account of the whole of it."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.place = nn.Conv2d(inputs, outputs, 1, bias=False)
        # No normalisation of its own: its statistics over a batch of one would be of a single value.
        self.whole = nn.Conv2d(inputs, outputs, 1, bias=False)
        self.norm = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.norm(self.place(x) + self.whole(x.mean((2, 3), keepdim=True))))


class Fusion(nn.Module):
    """A coarse map brought to the size of a finer one, the sum of both, and a convolution that smooths it."""

    def __init__(self, fine: int, width: int, smooth: nn.Module) -> None:
        super().__init__()
        self.lateral = nn.Sequential(nn.Conv2d(fine, width, 1, bias=False), nn.BatchNorm2d(width))
        self.smooth = smooth

    def forward(self, coarse: Tensor, fine: Tensor) -> Tensor:
        coarse = F.interpolate(coarse, scale_factor=2, mode="bilinear", align_corners=False)
        return self.smooth(self.lateral(fine) + coarse)


class LightDecoder(nn.Module):
    """From five maps to one at 1/4; the one at 1/2 costs more than it brings."""

    def __init__(self, channels: tuple[int, int, int, int, int], width: int) -> None:
        super().__init__()
        _, quarter, eighth, sixteenth, deep = channels
        self.context = GlobalContext(deep, width)
        self.fusion16 = Fusion(sixteenth, width, conv_block(width, width, 3))
        self.fusion8 = Fusion(eighth, width, conv_block(width, width, 3))
        self.fusion4 = Fusion(quarter, width, separable_block(width, width))

    def forward(self, maps: Maps) -> tuple[Tensor, Tensor]:
        """Maps of `width` channels at 1/4 and, on the way there, at 1/8."""
        _, quarter, eighth, sixteenth, deep = maps
        x = self.fusion16(self.context(deep), sixteenth)  # (B, width, H/16, W/16)
        late = self.fusion8(x, eighth)  # (B, width, H/8, W/8)
        return self.fusion4(late, quarter), late


# ------------------------------------------------------------------------------------------------------------ network


class FPN(Segmenter):
    """Any encoder and a light decoder; in training an auxiliary classifier at 1/8.

    The image is normalised as the encoder's published weights expect it, be they loaded or not.
    """

    stride = 32
    classifier = "classify"
    encoder_keys = ("backbone.",)

    def __init__(self, num_classes: int, backbone: Encoder, width: int = WIDTH, auxiliary: bool = True) -> None:
        """Build with random weights.

        Args:
            num_classes: K, channels of the logits.
            backbone: The encoder.
            width: Channels of the decoder.
            auxiliary: Whether there is the head that only training uses.
        """
        super().__init__()
        self.backbone, self.encoder = backbone, f"backbone.{backbone.deepest}"
        self.decoder = LightDecoder(backbone.channels, width)
        self.classify = nn.Conv2d(width, num_classes, 1)
        self.auxiliary = nn.Conv2d(width, num_classes, 1) if auxiliary else None
        self.normalise_by(backbone.mean, backbone.std)
        for module in self.decoder.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")

    def coarse_logits(self, normalised: Tensor) -> SegmenterOutput:
        """Logits (B, K, H/4, W/4); the auxiliary ones, at 1/8, in training mode only."""
        fine, late = self.decoder(self.backbone(normalised))
        main = self.classify(fine)
        return SegmenterOutput(main, (self.auxiliary(late),) if self.training and self.auxiliary is not None else ())


def fpn(encoder: str, num_classes: int = 19, auxiliary: bool = True) -> FPN:
    """The network on an encoder, by its name in ENCODERS.

    On EfficientNet-Lite0 3.22 M parameters and 5.2 G multiply-adds at 1024x512.
    """
    return FPN(num_classes, ENCODERS[encoder](), auxiliary=auxiliary)
