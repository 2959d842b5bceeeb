"""What people say of a network's input is understood, said back, and refused where it says nothing."""

import pytest
import torch

from pipelines.errors import UserError
from pipelines.pretrained.inputs import INPUTS, parse_input, red_first


@pytest.mark.parametrize("name", INPUTS)
def test_a_name_is_the_known_input(name):
    assert parse_input(name) == INPUTS[name]


def test_caffes_input_is_blue_first_in_255():
    caffe = parse_input("caffe")
    assert str(caffe) == "BGR in 0..255 less 104.007 116.669 122.679"
    assert caffe.unit_std() == (1 / 255,) * 3 and caffe.unit_mean()[0] == pytest.approx(0.481094)


def test_numbers_are_those_of_red_green_and_blue():
    plain = parse_input("0.1,0.2,0.3,0.4,0.5,0.6")
    assert (plain.mean, plain.std, plain.largest, plain.blue_first) == ((0.1, 0.2, 0.3), (0.4, 0.5, 0.6), 1, False)
    assert str(parse_input("bgr:0.1,0.2,0.3,0.4,0.5,0.6")) == "BGR in 0..1 less 0.3 0.2 0.1 over 0.6 0.5 0.4"
    assert parse_input("123,117,104,1,1,1").unit_mean() == (123 / 255, 117 / 255, 104 / 255)
    assert str(parse_input("bgr:imagenet")) == "BGR in 0..1 less 0.406 0.456 0.485 over 0.225 0.224 0.229"


@pytest.mark.parametrize(
    "text", ["", "grey", "1,2,3", "0,0,0,1,1,0", "0,0,0,1,1,x", "300,0,0,1,1,1", "nan,0,0,1,1,nan"]
)
def test_what_says_nothing_is_refused(text):
    with pytest.raises(
        UserError, match="expected imagenet, cityscapes, caffe, half, efficientnet_lite, or mean and dev"
    ):
        parse_input(text)


def test_weights_made_for_blue_first_take_red_first():
    """Every convolution that sees the image, and no other."""
    state = {"stem.weight": torch.rand(4, 3, 3, 3), "deep.weight": torch.rand(4, 4, 3, 3), "deep.bias": torch.rand(3)}
    turned = red_first(state, parse_input("bgr:half"))
    assert torch.equal(turned["stem.weight"], state["stem.weight"][:, [2, 1, 0]])
    assert turned["deep.weight"] is state["deep.weight"] and turned["deep.bias"] is state["deep.bias"]
    assert red_first(state, parse_input("half")) == state
