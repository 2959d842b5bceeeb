"""Between [0, 1] and [-1, 1]."""

import torch

from translate.value_range import to_signed, to_unit


def test_ends_and_middle():
    image = torch.tensor([0.0, 0.25, 0.5, 1.0])
    assert to_signed(image).tolist() == [-1.0, -0.5, 0.0, 1.0]
    assert torch.equal(to_unit(to_signed(image)), image)


def test_every_level_of_an_8_bit_image_comes_back():
    levels = torch.arange(256) / 255
    assert torch.equal((to_unit(to_signed(levels)) * 255).round(), torch.arange(256.0))


def test_unit_is_float32_and_clamped():
    image = to_unit(torch.tensor([-1.01, 1.01], dtype=torch.bfloat16))
    assert image.dtype == torch.float32
    assert image.tolist() == [0.0, 1.0]
