"""The student: each term by hand, what its two kinds of real examples are, who learns when."""

import math

import pytest
import torch
from torch import nn

from segment.peers import Peers
from tests.method_tester import LookOnly, PerformedUpdate, WatchedUpdate
from tests.translate.methods.translator_tester import TranslatorTester, networks_pulled
from translate.guidance import Guidance, GuidanceSettings
from translate.methods import METHODS
from translate.methods.adain import AdaINSettings
from translate.methods.batches import TranslatedBatch
from translate.methods.student import Student, StudentSettings
from translate.methods.unpaired_training import UnpairedTrainingSettings
from translate.networks import GENERATORS
from translate.patch_matching import RealPatches
from translate.teacher_features import TeacherFeatures

SMALL = {"steps": 10, "generator_channels": 2, "discriminator_channels": 2, "patch": 16}


def real_patches(count=3, side=16):
    random = torch.Generator().manual_seed(3)
    patches = torch.randint(256, (count, 3, side, side), generator=random, dtype=torch.uint8)
    return RealPatches(list(patches), lambda given: given.mean((2, 3)))


def tiny(real=None, guidance=None, teacher=None, perceptual=None, **settings):
    torch.manual_seed(0)
    return Student(StudentSettings(**SMALL | settings), real, guidance, teacher, perceptual)


def batch(size=(32, 48), images=2, labels=False):
    source, translated = torch.rand(2, images, 3, *size, generator=torch.Generator().manual_seed(0))
    return TranslatedBatch(source, translated, torch.zeros(images, *size, dtype=torch.int64) if labels else None)


class TestStudent(TranslatorTester):
    def method(self):
        return tiny()

    def batch(self):
        return batch()


class TestStudentOfRealPatches(TestStudent):
    def method(self):
        return tiny(real_patches(), patches=4)


class TestPyramidStudent(TestStudent):
    def method(self):
        return tiny(generator="pyramid", generator_channels=4)


class TestAveragedStudent(TestStudent):
    def method(self):
        return tiny(ema_decay=0.9)


class TestStudentWithoutDiscriminator(TestStudent):
    def method(self):
        return tiny(adversarial_weight=0)


class Constant(nn.Module):
    """A generator whose layers put out 2 in one channel, at half the size of its image."""

    def compared_layers(self):
        return {0: 3, 1: 1, 2: 1, 3: 1, 4: 1}

    def features(self, image, layers):
        return [torch.full((len(image), 1, image.shape[2] // 2, image.shape[3] // 2), 2.0) for _ in layers]


def test_the_distance_to_the_teachers_features_by_hand():
    """Projections give their bias alone: 1 in two layers, 2 in two; so ((1 - 2)^2 / 2^2 * 2 + 0 * 2) / 4, times 3."""
    method = tiny(teacher=TeacherFeatures(Constant()), feature_weight=3)
    for layer, bias in zip(method.projection.layers, (1.0, 1.0, 2.0, 2.0), strict=True):
        nn.init.zeros_(layer.weight)
        nn.init.constant_(layer.bias, bias)
    assert method.step(batch(), LookOnly(method))["features"].item() == pytest.approx(3 * 0.125)


def test_features_are_left_out_unless_asked_for():
    method = tiny(teacher=teacher())
    assert method.teacher is None and "features" not in method.step(batch(), LookOnly(method))
    plain = tiny().state_dict()
    imitating = tiny(teacher=teacher(), feature_weight=1.0)
    later = {key for key in imitating.state_dict() if key.startswith("projection.")}
    # Channels of the light U-Net of 2: 2, 4, 8, 8; of the teacher of 3: 6, 12, 12, 12. A weight and a bias each.
    assert len(later) == 8 and imitating.state_dict()["projection.layers.2.weight"].shape == (12, 8, 1, 1)
    assert imitating.state_dict().keys() - later == plain.keys()


def test_each_term_pulls_at_the_networks_that_it_is_about():
    def judge(fake, translated):
        return (fake - translated).square().mean()

    weights = {"feature_weight": 1.0, "perceptual_weight": 1.0}
    pulled = networks_pulled(tiny(real_patches(), teacher=teacher(), perceptual=judge, **weights), batch())
    assert pulled == {
        "discriminator": {"discriminator"},
        "reconstruction": {"source_to_target"},
        "adversarial": {"source_to_target"},
        "perceptual": {"source_to_target"},
        "features": {"projection"},  # of the generator the encoder, which is not its last layer
    }


def test_the_projection_learns_with_the_generator_and_the_teacher_never():
    given = teacher()
    method = tiny(teacher=given, feature_weight=1.0)
    before = {key: value.clone() for key, value in given._generator.state_dict().items()}
    update = WatchedUpdate(method)
    method.step(batch(), update)
    assert update.networks()[("generator",)] == {"source_to_target", "projection"}
    assert all(torch.equal(value, before[key]) for key, value in given._generator.state_dict().items())
    assert not any("teacher" in key for key in method.state_dict())


def test_what_a_network_sees_in_both_images_is_weighed():
    """A judge that says 3 of any two images costs twice that; it is not saved, nor asked where it has no weight."""
    seen = []

    def judge(fake, translated):
        seen.append((fake, translated))
        return 3.0 + 0 * fake.mean()

    method, given = tiny(perceptual=judge, perceptual_weight=2), batch()
    assert method.step(given, LookOnly(method))["perceptual"].item() == pytest.approx(6.0)
    assert torch.equal(seen[0][1], 2 * given.translated - 1) and seen[0][0].requires_grad
    assert method.state_dict().keys() == tiny().state_dict().keys()
    assert "perceptual" not in (without := tiny(perceptual=judge)).step(given, LookOnly(without))


class TwoClasses(nn.Module):
    """The logits of two classes: 0, and the red of an image."""

    def forward(self, image):
        return torch.stack([torch.zeros_like(image[:, 0]), image[:, 0]], dim=1)


def guided(**settings):
    return Guidance(TwoClasses(), GuidanceSettings(**settings))


class TestGuidedStudent(TestStudent):
    def method(self):
        return tiny(guidance=guided(label_weight=1, consistency_weight=1))

    def batch(self):
        return batch(labels=True)


def teacher(channels=3):
    torch.manual_seed(5)
    return TeacherFeatures(GENERATORS["resnet6"](base_channels=channels))


class TestImitatingStudent(TestStudent):
    def method(self):
        return tiny(teacher=teacher(), feature_weight=1.0)


class TestImitatingPyramid(TestStudent):
    def method(self):
        return tiny(teacher=teacher(), feature_weight=1.0, generator="pyramid", generator_channels=4)


def test_is_registered():
    assert METHODS["student"] is Student


def test_the_authors_networks():
    method = Student(StudentSettings(generator_channels=64))
    assert sum(one.numel() for one in method.source_to_target.parameters()) == 6_172_291
    assert sum(one.numel() for one in method.discriminator.parameters()) == 659_137


def test_a_student_is_by_default_as_wide_as_live_frames_allow():
    """Half as wide as the authors', and no other method with it."""
    assert StudentSettings().generator_channels == 32
    assert UnpairedTrainingSettings().generator_channels == AdaINSettings().generator_channels == 64


class Judge(nn.Module):
    """Judges a crop by its mean."""

    def forward(self, image):
        return image.mean((1, 2, 3), keepdim=True)


def test_the_objective_by_hand():
    """The student's image is 0 throughout in [-1, 1]; the teacher's 0.5; the real patch -1, which black is."""
    method = tiny(RealPatches([torch.zeros(3, 16, 16, dtype=torch.uint8)], lambda given: given.mean((2, 3)) + 1))
    nn.init.zeros_(method.source_to_target.dec1[0].weight)
    method.discriminator = Judge()
    given = TranslatedBatch(torch.rand(1, 3, 16, 16), torch.full((1, 3, 16, 16), 0.75))
    losses = method.step(given, LookOnly(method))
    assert losses["reconstruction"].item() == pytest.approx(10 * 0.5)
    assert losses["adversarial"].item() == pytest.approx(1.0)  # (0 - 1)^2
    # Half of: the mean of (0.5 - 1)^2 and (-1 - 1)^2, and 0^2.
    assert losses["discriminator"].item() == pytest.approx(0.5 * (0.25 + 4) / 2)


def test_weights_multiply_their_terms():
    def losses(**settings):
        return (method := tiny(**settings)).step(batch(), LookOnly(method))

    usual, other = losses(), losses(reconstruction_weight=5, adversarial_weight=3)
    assert other["reconstruction"].item() == pytest.approx(usual["reconstruction"].item() / 2)
    assert other["adversarial"].item() == pytest.approx(3 * usual["adversarial"].item())
    assert other["discriminator"].item() == pytest.approx(usual["discriminator"].item())


def test_real_examples_are_the_teachers_at_the_same_places_and_the_nearest_real():
    method = tiny(real_patches())
    fake, translated = torch.rand(2, 2, 3, 32, 48) * 2 - 1
    judged, real, share = method.examples(fake, translated)
    assert torch.equal(judged[0], fake[0, :, :16, :16]) and torch.equal(judged[11], fake[1, :, 16:, 32:])
    assert len(judged) == 12 and len(real) == 24 and share == 1
    assert torch.equal(real[0], translated[0, :, :16, :16]) and torch.equal(real[11], translated[1, :, 16:, 32:])
    expected = method.real.nearest((judged + 1) / 2) * 2 - 1
    torch.testing.assert_close(real[12:], expected)


def test_no_more_patches_than_are_asked_for_each_with_its_own():
    method = tiny(patches=5)
    fake = torch.arange(12.0).view(1, 1, 2, 6).repeat_interleave(16, 2).repeat_interleave(16, 3).expand(1, 3, 32, 96)
    torch.manual_seed(1)
    judged, real, _ = method.examples(fake, fake + 100)
    chosen = judged[:, 0, 0, 0].tolist()
    assert len(set(chosen)) == 5 and torch.equal(real, judged + 100)
    torch.manual_seed(2)
    assert method.examples(fake, fake)[0][:, 0, 0, 0].tolist() != chosen


def shared_out(world, images, **settings):
    """The examples of one process that has all images, and of each of several that share them, drawn alike."""

    def drawn(rank, world, images):
        method = tiny(real_patches(), **settings)
        method.join(Peers(rank, world))
        torch.manual_seed(1)
        return method.examples(images, images + 100)

    parts = images.chunk(world)
    return drawn(0, 1, images), [drawn(rank, world, part) for rank, part in enumerate(parts)]


def test_several_processes_judge_the_patches_that_one_does():
    """Two images of six patches, of which five are drawn; a patch is known by its value, an image's mean by its share.

    With one patch, a process has none: another stands in that counts for nothing.
    """
    fake = torch.arange(12.0).view(2, 1, 2, 3).repeat_interleave(16, 2).repeat_interleave(16, 3).expand(2, 3, 32, 48)
    for patches in (5, 1):
        (whole, beside, whole_share), parts = shared_out(2, fake, patches=patches)
        counted = [part for part in parts if part[2] > 0]
        assert sorted(value for part in counted for value in values(part[0])) == sorted(values(whole))
        for term, wanted in ((0, whole), (1, beside)):
            assert sum(part[2] * part[term].mean() for part in parts) / 2 == pytest.approx(wanted.mean().item())
        assert whole_share == 1 and sum(part[2] for part in parts) == pytest.approx(2)
    assert len(counted) == 1


def values(patches):
    """The value that each patch, which has one throughout, is known by."""
    return patches[:, 0, 0, 0].tolist()


def test_the_discriminator_learns_first_and_each_step_changes_its_own():
    method = tiny(real_patches())
    update = WatchedUpdate(method)
    method.step(batch(), update)
    assert list(update.networks().items()) == [
        (("discriminator",), {"discriminator"}),
        (("generator",), {"source_to_target"}),
    ]


def test_guidance_adds_its_terms_once_it_begins():
    """CE of logits (0, red) against class 0 is log(1 + exp(red)); the student's red is 0.5 in [0, 1]."""
    method = tiny(guidance=guided(label_weight=2, start_step=1))
    nn.init.zeros_(method.source_to_target.dec1[0].weight)
    assert "label" not in method.step(batch(labels=True), LookOnly(method))
    losses = method.step(batch(labels=True), LookOnly(method))
    assert losses["label"].item() == pytest.approx(2 * math.log(1 + math.exp(0.5)), rel=1e-5)


def test_it_learns_what_a_teacher_does():
    """A teacher that halves the brightness: the distance falls to less than half of what it was at first."""
    torch.manual_seed(0)
    method = Student(
        StudentSettings(steps=60, generator="pyramid", generator_channels=8, adversarial_weight=0, learning_rate=2e-3)
    )
    random = torch.Generator().manual_seed(0)
    distances = []
    for _ in range(60):
        source = torch.rand(1, 3, 16, 16, generator=random)
        losses = method.step(TranslatedBatch(source, source / 2), PerformedUpdate(method))
        distances.append(losses["reconstruction"].item())
    assert sum(distances[-5:]) < 0.5 * sum(distances[:5])


def test_the_preview_shows_the_teacher_beside_the_student():
    given = batch()
    pictures = tiny().preview(given)
    assert list(pictures) == ["source", "fake_target", "teacher"] and torch.equal(pictures["teacher"], given.translated)


@pytest.mark.parametrize(
    ("settings", "crop", "message"),
    [
        ({}, (100, 100), "crop is 100; unet_light takes multiples of 8"),
        ({"generator": "resnet9"}, (102, 102), "crop is 102; resnet9 takes multiples of 4"),
        ({"generator": "unet256", "patch": 64}, (256, 128), "crop is 128; unet256 takes multiples of 256"),
        ({"patch": 196}, (256, 128), "crop is 128 and patch 196; set patch to 128 or less, or enlarge crop"),
        ({"patch": 8}, (32, 32), "patch is 8; the discriminator needs 16 or more"),
    ],
)
def test_crops_that_do_not_suit_are_refused(settings, crop, message):
    with pytest.raises(ValueError, match=message):
        StudentSettings(**settings).check_crop(*crop)


def test_patches_that_nobody_judges_constrain_nothing():
    for patch in (8, 196):
        StudentSettings(adversarial_weight=0, patch=patch).check_crop(64, 64)
    with pytest.raises(ValueError, match="crop is 100; unet_light takes multiples of 8"):
        StudentSettings(adversarial_weight=0).check_crop(100, 100)


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (lambda: tiny(generator="resnet5"), "no network 'resnet5'"),
        (lambda: tiny(gan_loss="none"), "no GAN loss 'none'"),
        (lambda: tiny(real_patches(side=24)), "Real patches have 24 pixels a side; the setting patch is 16"),
        (lambda: tiny(feature_weight=0.5), "feature_weight is 0.5, and there is no teacher's generator to imitate"),
        (lambda: tiny(feature_weight=1, teacher=teacher(), generator="unet128"), "UnetGenerator has no encoder"),
        (lambda: tiny(reconstruction_weight=0), "reconstruction_weight is 0; it must be above 0"),
    ],
)
def test_refuses_at_construction(made, message):
    with pytest.raises(ValueError, match=message):
        made()
