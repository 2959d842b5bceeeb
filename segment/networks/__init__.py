"""Segmentation networks by the name under which an experiment asks for them.

A new network is one file that subclasses `Segmenter`, one line here, and a test that subclasses `NetworkTester`.
"""

from collections.abc import Callable

from segment.networks.ddrnet import ddrnet23, ddrnet23_slim
from segment.networks.segmenter import Segmenter

NETWORKS: dict[str, Callable[..., Segmenter]] = {
    "ddrnet23_slim": ddrnet23_slim,
    "ddrnet23": ddrnet23,
}
"""Each takes `num_classes` and `auxiliary` (whether to build the head that only training uses)."""
