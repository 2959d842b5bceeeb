"""The settings of stage two's training know the networks that there are."""

from typing import get_args

from pipelines.segmenters import NetworkName
from segment.networks import NETWORKS


def test_every_network_can_be_asked_for_and_no_other():
    assert sorted(get_args(NetworkName)) == sorted(NETWORKS)
