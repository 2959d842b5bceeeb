"""Hierarchical multi-scale attention: a network sees an image at several scales and learns which to trust where.

Tao, Sapra, Catanzaro 2020 (arXiv:2005.10821). Attention is learnt between two adjacent scales only, which keeps
training cheap; at inference the same attention chains any number of them.
"""

from collections import OrderedDict
from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor, nn
from torch.nn import functional as F

from segment.networks.deeplabv3plus import DeepLabV3Plus
from segment.networks.segmenter import Segmenter, SegmenterOutput

TRAINING_SCALES = (0.5, 1.0)
"""The pair of sec. 3."""

# ------------------------------------------------------------------------------------------------------------- blocks


def attention_head(inputs: int, planes: int) -> nn.Sequential:
    """The paper's head, built like that of DeepLabV3+ but for a single channel in (0, 1); NVIDIA's names."""
    return nn.Sequential(
        OrderedDict(
            conv0=nn.Conv2d(inputs, planes, 3, padding=1, bias=False),
            bn0=nn.BatchNorm2d(planes),
            re0=nn.ReLU(),
            conv1=nn.Conv2d(planes, planes, 3, padding=1, bias=False),
            bn1=nn.BatchNorm2d(planes),
            re1=nn.ReLU(),
            conv2=nn.Conv2d(planes, 1, 1, bias=False),
            sig=nn.Sigmoid(),
        )
    )


class AtScale(NamedTuple):
    """What the network says of the image at one scale; maps have the size of the image at that scale."""

    output: SegmenterOutput
    attention: Tensor | None
    """(B, 1, H, W) in (0, 1): how far to trust this scale rather than the next larger one."""


def combine(
    logits: Sequence[Tensor], attention: Sequence[Tensor | None], scales: Sequence[float], align: bool
) -> Tensor:
    """The chain of sec. 3.1, from the largest scale down; each smaller one takes its share by its own attention.

    Below the target scale, 1, the smaller of two maps is brought to the size of the larger by U (eq. 1):

        U(attention * logits) + (1 - U(attention)) * what all larger scales say together,

    from it upwards the larger is brought down instead.

    Args:
        logits: (B, K, H_i, W_i) of each scale.
        attention: (B, 1, H_i, W_i) of each scale; that of the largest has no part and may be None.
        scales: In rising order; 1 is among them.
        align: Corner convention of the interpolation.

    Returns:
        (B, K, H, W) at scale 1.
    """
    combined = logits[-1]
    for here, trust, scale in reversed(list(zip(logits[:-1], attention[:-1], scales[:-1], strict=True))):
        if scale >= 1:
            combined = trust * here + (1 - trust) * resize(combined, here, align)
        else:
            combined = resize(trust * here, combined, align) + (1 - resize(trust, combined, align)) * combined
    return combined


def resize(x: Tensor, like: Tensor, align: bool) -> Tensor:
    """Bilinear, to the size of `like`."""
    return F.interpolate(x, like.shape[-2:], mode="bilinear", align_corners=align)


# ------------------------------------------------------------------------------------------------------------ network


class HierarchicalAttention(Segmenter):
    """Any segmenter, run at several scales, with a head beside its classifier that weighs them.

    Differs from NVIDIA's code in what its options add to the paper: single scales have no loss of their own.
    """

    stride = 1
    """Each scale is padded to the stride of the segmenter inside."""

    def __init__(
        self, segmenter: Segmenter, features: int, planes: int = 256, scales: Sequence[float] = TRAINING_SCALES
    ) -> None:
        """Build around `segmenter`.

        Args:
            segmenter: Trained and run at every scale.
            features: Channels of what its classifier takes, which the attention is read from too.
            planes: Width of the attention head.
            scales: At inference, in any order; may be changed at any time by `at_scales`. The paper's best are 0.5, 1
                and 2.

        Raises:
            ValueError: Scales without 1, the scale of the answer, or twice the same, or not above 0.
        """
        super().__init__()
        self.segmenter = segmenter
        self.image_mean.copy_(segmenter.image_mean)  # only the outer network normalises
        self.image_std.copy_(segmenter.image_std)
        self.scale_attn = attention_head(features, planes)
        self.align_corners = segmenter.align_corners
        self.auxiliary_weight = segmenter.auxiliary_weight
        self.encoder = f"segmenter.{segmenter.encoder}"
        self.encoder_keys = tuple(f"segmenter.{beginning}" for beginning in segmenter.encoder_keys)
        self.at_scales(scales)

    def at_scales(self, scales: Sequence[float]) -> None:
        """From now on, infer at these scales. See the constructor."""
        if 1 not in scales or min(scales) <= 0 or len(set(scales)) < len(scales):
            raise ValueError(f"Scales are {list(scales)}; expected different ones above 0, 1 among them")
        self.scales = tuple(sorted(float(scale) for scale in scales))

    def classifying_module(self) -> nn.Module:
        """The classifying module of the segmenter inside."""
        return self.segmenter.classifying_module()

    def own_losses(self, output: SegmenterOutput, label_map: Tensor) -> dict[str, Tensor]:
        """The losses of the segmenter inside."""
        return self.segmenter.own_losses(output, label_map)

    def at_image_size(self, coarse: Tensor, height: int, width: int) -> Tensor:
        """As the segmenter inside does it, by which the image is padded."""
        return self.segmenter.at_image_size(coarse, height, width)

    def over_image(self, features: Tensor, height: int, width: int) -> Tensor:
        """As of the segmenter inside."""
        return self.segmenter.over_image(features, height, width)

    def padded_labels(self, label_map: Tensor) -> Tensor:
        """As of the segmenter inside."""
        return self.segmenter.padded_labels(label_map)

    def coarse_logits(self, normalised: Tensor) -> SegmenterOutput:
        """Combined logits (B, K, H, W); what other heads say at scale 1 alone."""
        scales = TRAINING_SCALES if self.training else self.scales
        # The largest scale's attention has no part. But the head's batch statistics have to cover scale 1, whose
        # attention does count once there are larger scales; so in training all are computed, as in NVIDIA's code.
        answers = [self._at_scale(normalised, scale, weighed=self.training or scale < scales[-1]) for scale in scales]
        logits, attention = [answer.output.main for answer in answers], [answer.attention for answer in answers]
        at_one = answers[scales.index(1)].output
        return at_one._replace(main=combine(logits, attention, scales, self.align_corners))

    def _at_scale(self, normalised: Tensor, scale: float, weighed: bool) -> AtScale:
        """Run the segmenter on the resized image and, if `weighed`, the attention head on what its classifier sees."""
        height, width = (max(1, round(side * scale)) for side in normalised.shape[-2:])
        image = normalised
        if scale != 1:
            image = F.interpolate(image, (height, width), mode="bilinear", align_corners=self.align_corners)
        padded = self.segmenter._pad(image)
        seen: list[Tensor] = []
        hook = self.classifying_module().register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
        try:
            output = self.segmenter.coarse_logits(padded)
        finally:
            hook.remove()

        def whole(x: Tensor) -> Tensor:
            return self._upsample(x, tuple(padded.shape[-2:]))[..., :height, :width]

        boundary = None if output.boundary is None else whole(output.boundary)
        heads = SegmenterOutput(whole(output.main), tuple(whole(one) for one in output.auxiliary), boundary)
        return AtScale(heads, whole(self.scale_attn(seen[-1])) if weighed else None)


def hierarchical_deeplabv3plus_wrn38(
    num_classes: int = 19, auxiliary: bool = True, scales: Sequence[float] = TRAINING_SCALES
) -> HierarchicalAttention:
    """DeepLabV3+ with WideResNet-38 at two scales or more: 138.4 M parameters.

    1863 G multiply-adds at 512x1024 with scales 0.5 and 1. Parameters and arithmetic are our own count. There is no
    auxiliary head, whatever `auxiliary` says.
    """
    segmenter = DeepLabV3Plus(num_classes)
    return HierarchicalAttention(segmenter, features=segmenter.final[0].in_channels, scales=scales)
