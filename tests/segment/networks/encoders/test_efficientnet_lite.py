"""EfficientNet-Lite: its size and key names to the digit, TensorFlow's padding, its five maps at any size."""

import pytest
import torch

from segment.complexity import count_parameters
from segment.networks.encoders.efficientnet_lite import (
    EfficientNetLite,
    EfficientNetLiteClassifier,
    InvertedResidual,
    conv,
    same_convolution,
    same_padding,
    scaled_width,
)

CHANNELS = {0: (16, 24, 40, 112, 320), 1: (16, 24, 40, 112, 320), 2: (16, 24, 48, 120, 352)}


def on_meta(build, *arguments):
    with torch.device("meta"):
        return build(*arguments)


@pytest.mark.parametrize(("variant", "parameters"), [(0, 4_652_008), (1, 5_416_680), (2, 6_092_072)])
def test_it_has_the_published_size(variant, parameters):
    classifier = on_meta(EfficientNetLiteClassifier, variant)
    assert count_parameters(classifier) == parameters
    # Without the last convolution, its normalisation and the classifier.
    head = 1280 * CHANNELS[variant][-1] + 2 * 1280 + 1281 * 1000
    assert count_parameters(on_meta(EfficientNetLite, variant)) == parameters - head


@pytest.mark.parametrize(
    ("variant", "blocks"), [(0, (0, 2, 4, 10, 15)), (1, (0, 3, 6, 14, 20)), (2, (0, 3, 6, 14, 20))]
)
def test_the_last_block_of_each_stride_answers(variant, blocks):
    encoder = on_meta(EfficientNetLite, variant)
    assert (encoder.last_blocks, encoder.channels) == (blocks, CHANNELS[variant])
    assert encoder.deepest == f"_blocks.{blocks[-1]}"


@pytest.mark.parametrize("size", [(64, 96), (65, 33), (1, 1)])
def test_maps_are_as_large_as_the_image_over_their_stride_rounded_up(size):
    maps = EfficientNetLite(0, width=0.25).eval()(torch.rand(1, 3, *size))
    assert [tuple(x.shape[-2:]) for x in maps] == [tuple(-(-side // s) for side in size) for s in (2, 4, 8, 16, 32)]


def test_an_unknown_variant_is_refused():
    with pytest.raises(ValueError, match="variant is 5; expected one of 0, 1, 2"):
        EfficientNetLite(5)


@pytest.mark.parametrize(
    ("width", "multiplier", "expected"),
    # 17.6 -> 16; 44 -> 48 (halves go up); 352 -> 352; 11 would become 8, less than nine tenths of it.
    [(16, 1.1, 16), (40, 1.1, 48), (320, 1.1, 352), (10, 1.1, 16), (16, 0.25, 8)],
)
def test_widths_are_rounded_to_multiples_of_eight(width, multiplier, expected):
    assert scaled_width(width, multiplier) == expected


@pytest.mark.parametrize(
    ("side", "kernel", "stride", "expected"),
    # ceil(n / s) places; (places - 1) * s + k - n zeros.
    [(8, 3, 2, (0, 1)), (8, 5, 2, (1, 2)), (7, 3, 2, (1, 1)), (7, 5, 2, (2, 2)), (8, 5, 1, (2, 2)), (9, 1, 2, (0, 0))],
)
def test_padding_is_that_of_tensorflow(side, kernel, stride, expected):
    assert same_padding(side, kernel, stride) == expected


def test_a_strided_convolution_begins_at_the_first_pixel_of_an_even_side():
    summing = conv(1, 1, 3, stride=2)
    torch.nn.init.ones_(summing.weight)
    ramp = torch.arange(4.0).expand(1, 1, 4, 4)
    # Columns 0 to 2, then 2, 3 and a zero; three rows above, two and a zero below: (0+1+2)*3, (2+3)*3, and times 2.
    assert same_convolution(summing, ramp)[0, 0].tolist() == [[9, 15], [6, 10]]


def test_the_input_is_red_green_blue_in_0_to_255_less_127_over_128():
    levels = torch.tensor([0.0, 127.0, 255.0]).view(1, 3, 1, 1) / 255
    normalised = EfficientNetLite(0, width=0.25).normalised(levels)
    torch.testing.assert_close(normalised.flatten(), torch.tensor([-127 / 128, 0.0, 1.0]), atol=1e-6, rtol=0)


def test_a_block_adds_its_input_where_size_and_width_stay():
    kept, strided, widened = (InvertedResidual(6, 8, *rest).eval() for rest in [(8, 3, 1), (8, 3, 2), (16, 3, 1)])
    for block in (kept, strided, widened):
        torch.nn.init.zeros_(block._project_conv.weight)
    x = torch.rand(1, 8, 4, 4)
    assert torch.equal(kept(x), x)
    assert strided(x).abs().max() == 0 and widened(x).abs().max() == 0


def test_it_is_exported_as_one_graph():
    encoder, image = EfficientNetLite(0, width=0.25).eval(), torch.rand(1, 3, 64, 96)
    exported = torch.export.export(encoder, (image,)).module()(image)
    for expected, actual in zip(encoder(image), exported, strict=True):
        torch.testing.assert_close(actual, expected)


def test_a_gradient_reaches_every_parameter():
    encoder = EfficientNetLite(0, width=0.25).train()
    sum(x.square().sum() for x in encoder(torch.rand(2, 3, 64, 64))).backward()
    assert all(parameter.grad.abs().max() > 0 for parameter in encoder.parameters() if parameter.ndim > 1)
