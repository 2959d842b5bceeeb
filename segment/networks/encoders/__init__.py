"""Encoders by the name that stands in a network's after its decoder's, and what they have in common.

A new encoder subclasses `Encoder` and is one line here.
"""

from collections.abc import Callable
from functools import partial

from segment.networks.encoders.efficientnet_lite import EfficientNetLite
from segment.networks.encoders.encoder import Encoder
from segment.networks.encoders.published import STDC, MobileNetV3, ResNet


# torchvision takes seconds to import, and most networks have nothing of it.
def _mobilenet_v3() -> MobileNetV3:
    from torchvision import models

    return MobileNetV3(models.mobilenet_v3_large(weights=None))


def _resnet(depth: int) -> ResNet:
    from torchvision import models

    return ResNet(models.get_model(f"resnet{depth}", weights=None))


ENCODERS: dict[str, Callable[[], Encoder]] = {
    "efficientnet_lite0": partial(EfficientNetLite, 0),
    "efficientnet_lite1": partial(EfficientNetLite, 1),
    "efficientnet_lite2": partial(EfficientNetLite, 2),
    "resnet18": partial(_resnet, 18),
    "resnet50": partial(_resnet, 50),
    "resnet101": partial(_resnet, 101),
    "mobilenet_v3_large": _mobilenet_v3,
    "stdc1": partial(STDC, 64, (2, 2, 2)),
    "stdc2": partial(STDC, 64, (4, 5, 3)),
}
"""With random weights."""
