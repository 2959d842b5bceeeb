"""The choice of networks by name."""

import pytest

from translate.choices import chosen
from translate.networks import DISCRIMINATORS, GENERATORS


def test_finds_what_there_is():
    assert chosen(GENERATORS, "resnet9") is GENERATORS["resnet9"]
    assert chosen(DISCRIMINATORS, "patch") is DISCRIMINATORS["patch"]


def test_an_unknown_name_is_answered_with_the_valid_ones():
    with pytest.raises(ValueError, match="no network 'unet'; the valid names are resnet6, resnet9"):
        chosen(GENERATORS, "unet")
