"""A teacher's features: which layers, how far apart by hand, at two sizes, and nothing that reaches the teacher."""

import pytest
import torch

from translate.networks import ENCODING_GENERATORS, GENERATORS
from translate.teacher_features import TeacherFeatures, feature_distance, imitated_layers


def test_every_generator_with_an_encoder_has_as_many_layers():
    for name, make in ENCODING_GENERATORS.items():
        generator = make(base_channels=4)
        found = TeacherFeatures(generator)
        maps = found(torch.rand(1, 3, 32, 48) * 2 - 1)
        assert len(maps) == 4 and tuple(one.shape[1] for one in maps) == found.channels, name
        assert found.channels == tuple(imitated_layers(generator).values())


def test_a_generator_without_an_encoder_is_refused():
    with pytest.raises(ValueError, match=r"UnetGenerator has no encoder .*; resnet6, .*, pyramid have"):
        TeacherFeatures(GENERATORS["unet128"](base_channels=2))


def test_a_teacher_is_frozen_and_takes_no_gradient():
    generator = ENCODING_GENERATORS["resnet6"](base_channels=2).train()
    maps = TeacherFeatures(generator)(torch.rand(1, 3, 16, 16, requires_grad=True))
    assert not generator.training and not any(one.requires_grad for one in generator.parameters())
    assert not any(one.requires_grad for one in maps)


def test_distances_are_in_units_of_the_teachers_mean_square():
    """Layer one: (0 + 4) / 2 over (4 + 4) / 2 is 0.5. Layer two, ten times as large: 50 over 100 is 0.5, too."""
    own = [torch.tensor([2.0, 0.0]).view(1, 2, 1, 1), torch.tensor([10.0, 0.0]).view(1, 2, 1, 1)]
    wanted = [torch.tensor([2.0, 2.0]).view(1, 2, 1, 1), torch.tensor([10.0, 10.0]).view(1, 2, 1, 1)]
    assert feature_distance(own, wanted).item() == pytest.approx(0.5)
    assert feature_distance(own[:1], wanted[:1]).item() == pytest.approx(0.5)
    assert feature_distance([torch.zeros(1, 2, 1, 1)], wanted[:1]).item() == pytest.approx(1.0)
    assert feature_distance([0.01 * own[0]], [0.01 * wanted[0]]).item() == pytest.approx(0.5)


def test_every_image_is_measured_in_its_own_units():
    """(1 - 2)^2 / 2^2 and (10 - 20)^2 / 20^2, each 1/4; so a batch costs the mean of what its images cost alone."""
    own, wanted = (torch.tensor(values).view(2, 1, 1, 1) for values in ([1.0, 30.0], [2.0, 20.0]))
    assert feature_distance([own], [wanted]).item() == pytest.approx(0.25)
    alone = [feature_distance([own[one : one + 1]], [wanted[one : one + 1]]).item() for one in (0, 1)]
    assert alone == pytest.approx([0.25, 0.25])


def test_two_sizes_are_compared_at_the_smaller():
    """The teacher's four pixels have the mean 4; the student's one is 3: 1 / 16. And the other way round: 1 / 9."""
    four, one = torch.tensor([[1.0, 3.0], [5.0, 7.0]]).view(1, 1, 2, 2), torch.full((1, 1, 1, 1), 3.0)
    assert feature_distance([one], [four]).item() == pytest.approx(1 / 16)
    assert feature_distance([four], [one]).item() == pytest.approx(1 / 9)


def test_a_teacher_that_puts_out_nothing_gives_a_finite_distance():
    assert feature_distance([torch.zeros(1, 1, 2, 2)], [torch.zeros(1, 1, 2, 2)]).item() == 0


def test_gradients_reach_the_student_alone():
    """d/dx of (x - 2)^2 / 4 at 1 is -0.5."""
    own, wanted = (torch.full((1, 1, 1, 1), value, requires_grad=True) for value in (1.0, 2.0))
    feature_distance([own], [wanted]).backward()
    assert own.grad.item() == pytest.approx(-0.5) and wanted.grad is None


def test_half_precision_is_compared_in_float32():
    half = torch.full((1, 1, 1, 1), 1.0, dtype=torch.bfloat16)
    assert feature_distance([half], [half * 2]).dtype == torch.float32


def test_other_layers_or_channels_are_refused():
    one = torch.zeros(1, 2, 1, 1)
    for pair in (([one], [one, one]), ([one], [torch.zeros(1, 3, 1, 1)]), ([], [])):
        with pytest.raises(ValueError, match="they must be equal, not none"):
            feature_distance(*pair)
