"""DeepLabV3 with ResNet-101 and LR-ASPP with MobileNetV3: torchvision's own modules, under torchvision's own names.

Chen et al. 2017 (arXiv:1706.05587), Howard et al., ICCV 2019 (arXiv:1905.02244). The first is the standard network that
real-time ones are measured against, the second the smallest of all.
"""

from torch import Tensor, nn

from segment.networks.segmenter import Segmenter, SegmenterOutput, refuse_single_image


class DeepLabV3(Segmenter):
    """A dilated ResNet, pyramid pooling by parallel dilated convolutions, a classifier; auxiliary on layer3."""

    stride = 8
    auxiliary_weight = 0.5
    """As in torchvision's recipe."""
    encoder = "backbone.layer4"
    encoder_keys = ("backbone.",)

    def __init__(self, backbone: nn.Module, head: nn.Sequential, auxiliary_head: nn.Module | None) -> None:
        """Take torchvision's modules.

        Args:
            backbone: Answers with {"out": (B, C, H/8, W/8)} and, if there is an auxiliary head, {"aux": ...}.
            head: Pooling first, the 1x1 classifier last.
            auxiliary_head: On "aux"; only training uses it.
        """
        super().__init__()
        self.backbone = backbone
        # torchvision's name for the whole head, and so the beginning of its keys. Hence `classifying_module` below.
        self.add_module("classifier", head)
        self.aux_classifier = auxiliary_head

    def classifying_module(self) -> nn.Module:
        """The last layer of the head."""
        return self.get_submodule("classifier")[-1]

    def coarse_logits(self, normalised: Tensor) -> SegmenterOutput:
        """Logits (B, K, H/8, W/8); the auxiliary ones in training mode only."""
        refuse_single_image(self, normalised, pooled_norm=self.get_submodule("classifier.0").convs[-1][2])
        features = self.backbone(normalised)
        main = self.get_submodule("classifier")(features["out"])
        needs_auxiliary = self.training and self.aux_classifier is not None
        return SegmenterOutput(main, (self.aux_classifier(features["aux"]),) if needs_auxiliary else ())


class LRASPP(Segmenter):
    """MobileNetV3 with two maps of classes: one of pooled context at 1/16, one of details at 1/8."""

    stride = 16
    encoder = "backbone.16"
    encoder_keys = ("backbone.",)

    def __init__(self, backbone: nn.Module, head: nn.Module) -> None:
        """Take torchvision's modules: a backbone that answers with "low" and "high", and its LRASPPHead."""
        super().__init__()
        self.backbone = backbone
        self.add_module("classifier", head)

    def classifying_module(self) -> nn.Module:
        """The one of the two classifiers that sees context."""
        return self.get_submodule("classifier.high_classifier")

    def coarse_logits(self, normalised: Tensor) -> SegmenterOutput:
        """Logits (B, K, H/8, W/8)."""
        return SegmenterOutput(self.get_submodule("classifier")(self.backbone(normalised)))


def deeplabv3_resnet101(num_classes: int = 19, auxiliary: bool = True) -> DeepLabV3:
    """58.6 M parameters and 482 G multiply-adds at 512x1024, 53 times those of DDRNet-23-slim."""
    from torchvision.models import segmentation  # seconds to import, for the two that have their modules from it

    model = segmentation.deeplabv3_resnet101(
        weights=None, weights_backbone=None, num_classes=num_classes, aux_loss=auxiliary
    )
    return DeepLabV3(model.backbone, model.classifier, model.aux_classifier)


def lraspp(num_classes: int = 19, auxiliary: bool = True) -> LRASPP:
    """3.22 M parameters and 3.9 G multiply-adds at 512x1024; 72 mIoU on Cityscapes val reported for its kind.

    There is no auxiliary head, whatever `auxiliary` says.
    """
    from torchvision.models import segmentation  # as above

    model = segmentation.lraspp_mobilenet_v3_large(weights=None, weights_backbone=None, num_classes=num_classes)
    return LRASPP(model.backbone, model.classifier)
