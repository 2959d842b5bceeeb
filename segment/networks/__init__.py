"""Segmentation networks by the name under which an experiment asks for them.

A new network is one file that subclasses `Segmenter`, one line here, and a test that subclasses `NetworkTester`.
"""

from collections.abc import Callable
from functools import partial

from segment.networks.bisenetv1 import bisenetv1
from segment.networks.bisenetv2 import bisenetv2
from segment.networks.ddrnet import ddrnet23, ddrnet23_slim, ddrnet39
from segment.networks.deeplabv2 import deeplabv2_resnet101, deeplabv2_resnet101_multi
from segment.networks.deeplabv3plus import deeplabv3plus_wrn38
from segment.networks.fpn import fpn
from segment.networks.multiscale_attention import hierarchical_deeplabv3plus_wrn38
from segment.networks.pidnet import pidnet_l, pidnet_m, pidnet_s
from segment.networks.ppliteseg import ppliteseg, ppliteseg_b, ppliteseg_t
from segment.networks.segmenter import Segmenter
from segment.networks.stdc import stdc1, stdc2
from segment.networks.torchvision_networks import deeplabv3_resnet101, lraspp

NETWORKS: dict[str, Callable[..., Segmenter]] = {
    "ddrnet23_slim": ddrnet23_slim,
    "ddrnet23": ddrnet23,
    "ddrnet39": ddrnet39,
    "pidnet_s": pidnet_s,
    "pidnet_m": pidnet_m,
    "pidnet_l": pidnet_l,
    "bisenetv1": bisenetv1,
    "bisenetv2": bisenetv2,
    "stdc1": stdc1,
    "stdc2": stdc2,
    "ppliteseg_t": ppliteseg_t,
    "ppliteseg_b": ppliteseg_b,
    "deeplabv2_resnet101": deeplabv2_resnet101,
    "deeplabv2_resnet101_multi": deeplabv2_resnet101_multi,
    # The names without an ending sum two of four branches, as AdaptSegNet's code does and its checkpoints were trained.
    "deeplabv2_resnet101_four_branches": partial(deeplabv2_resnet101, aspp_branches=4),
    "deeplabv2_resnet101_multi_four_branches": partial(deeplabv2_resnet101_multi, aspp_branches=4),
    "deeplabv3_resnet101": deeplabv3_resnet101,
    "lraspp": lraspp,
    "fpn_efficientnet_lite0": partial(fpn, "efficientnet_lite0"),
    "fpn_efficientnet_lite1": partial(fpn, "efficientnet_lite1"),
    "fpn_efficientnet_lite2": partial(fpn, "efficientnet_lite2"),
    "fpn_resnet18": partial(fpn, "resnet18"),
    "fpn_resnet50": partial(fpn, "resnet50"),
    "fpn_resnet101": partial(fpn, "resnet101"),
    "fpn_mobilenet_v3_large": partial(fpn, "mobilenet_v3_large"),
    "fpn_stdc1": partial(fpn, "stdc1"),
    "fpn_stdc2": partial(fpn, "stdc2"),
    "ppliteseg_efficientnet_lite0": partial(ppliteseg, "efficientnet_lite0"),
    "ppliteseg_efficientnet_lite1": partial(ppliteseg, "efficientnet_lite1"),
    "ppliteseg_efficientnet_lite2": partial(ppliteseg, "efficientnet_lite2"),
    "ppliteseg_resnet18": partial(ppliteseg, "resnet18"),
    "ppliteseg_mobilenet_v3_large": partial(ppliteseg, "mobilenet_v3_large"),
    "deeplabv3plus_wrn38": deeplabv3plus_wrn38,
    "hierarchical_deeplabv3plus_wrn38": hierarchical_deeplabv3plus_wrn38,
}
"""Each takes `num_classes` and `auxiliary` (whether to build the head that only training uses)."""
