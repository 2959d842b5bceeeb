"""Trained networks are opened by what they are made of: nothing that only training needs is built or read."""

import pytest
import torch

from pipelines.engine.checkpoint_files import checkpoint_hash
from pipelines.engine.checkpoints import save_checkpoint
from pipelines.engine.launch import Machine
from pipelines.errors import CheckpointError, UserError
from pipelines.experiment.segmenters import SegmenterSettings
from pipelines.experiment.trained import build_network, build_translator, load_ensemble, load_segmenter, load_translator
from pipelines.experiment.translators import TRAININGS
from pipelines.stages.training.train_segmenter import build_segmenter
from segment.inference import MultiScale
from segment.methods.method import Method
from segment.networks.segmenter import Segmenter
from translate.image_pool import ImagePool
from translate.networks.discriminators.crop import CropDiscriminator
from translate.networks.discriminators.multiscale import MultiscaleDiscriminator
from translate.networks.discriminators.patch import PatchDiscriminator
from translate.networks.features.feature_encoder import FeatureEncoder
from translate.networks.features.patch_projection import PatchProjection

CPU = Machine(torch.device("cpu"), "fp32")


def segmenter(folder, network="ppliteseg_t", seed=0, **settings):
    """A checkpoint of a segmenter that was never trained."""
    settings = SegmenterSettings(network=network, steps=2, warmup_steps=0, **settings)
    method = build_segmenter(settings, build_network(settings, seed))
    about = {"stage": "segmenter", "settings": settings.model_dump(mode="json")}
    return save_checkpoint(folder, 1, method, method.optimizers(), about)


def test_several_segmenters_are_one_that_averages(tmp_path):
    """Who was trained at half the height is given frames of half the height."""
    places = [segmenter(tmp_path / "a", height=64), segmenter(tmp_path / "b", "lraspp", 1, height=32)]
    ensemble = load_ensemble(places, CPU, (3, 1))
    assert ensemble.height == 64 and ensemble.checkpoints == tuple(places) and not ensemble.network.training
    image = torch.rand(1, 3, 64, 96)
    first, second = (load_segmenter(place, CPU)[0] for place in places)
    expected = 0.75 * first(image).softmax(1) + 0.25 * MultiScale(second, (0.5,))(image).softmax(1)
    torch.testing.assert_close(ensemble.network(image).softmax(1), expected)


def test_frames_of_another_height_are_shown_to_each_at_its_own(tmp_path):
    """As a student's are, who learns at a height of its own: one teacher or several."""
    places = [segmenter(tmp_path / "a", height=64), segmenter(tmp_path / "b", "lraspp", 1, height=32)]
    first, second = (load_segmenter(place, CPU)[0] for place in places)
    image = torch.rand(1, 3, 32, 48)
    alone = load_ensemble(places[:1], CPU, height=32)
    assert alone.height == 32
    torch.testing.assert_close(alone.network(image), MultiScale(first, (2.0,))(image))
    both = load_ensemble(places, CPU, height=32).network(image).softmax(1)
    torch.testing.assert_close(both, (MultiScale(first, (2.0,))(image).softmax(1) + second(image).softmax(1)) / 2)
    assert load_ensemble(places[:1], CPU, height=64).network(image).equal(first(image))


def test_an_ensemble_is_known_by_its_members_and_weights_and_a_single_one_by_itself(tmp_path):
    places = [segmenter(tmp_path / "a"), segmenter(tmp_path / "b", seed=1)]
    alone = load_ensemble(places[:1], CPU)
    assert alone.sha256 == checkpoint_hash(places[0]) and isinstance(alone.network, Segmenter)
    found = {load_ensemble(places, CPU, weights).sha256 for weights in (None, (1, 1), (2, 1))}
    assert len(found) == 2 and alone.sha256 not in found


@pytest.mark.parametrize("weights", [(1.0,), (1.0, 0.0)])
def test_weights_that_do_not_fit_are_refused(tmp_path, weights):
    place = segmenter(tmp_path / "a")
    with pytest.raises(UserError, match=r"weights of 2 checkpoints: .* expected one above 0 for each"):
        load_ensemble([place, place], CPU, weights)
    with pytest.raises(UserError, match="weights are for several checkpoints"):
        load_ensemble([place], CPU, weights)


NARROW = {"generator_channels": 2, "discriminator_channels": 2}
SMALL = {
    "adain": {"generator_channels": 2, "encoder": "efficientnet_lite0"},
    "cyclegan": NARROW | {"generator": "resnet6"},
    "cut": NARROW | {"generator": "resnet6", "projection_features": 4},
    "student": NARROW,
    "pix2pixhd": NARROW | {"halvings": 2, "blocks": 1, "style_features": 2},
}


def saved(folder, method, **changes):
    """A checkpoint as training writes it, and the method that it holds."""
    settings = TRAININGS[method](method=method, **SMALL[method] | changes)
    trained = build_translator(settings, seed=1).eval()
    with torch.no_grad():  # as if the averages had gone their own way
        for parameter in trained.generator().parameters():
            parameter.mul_(1.5)
    about = {"stage": "translator", "settings": settings.model_dump(mode="json")}
    return trained, save_checkpoint(folder, 1, trained, trained.optimizers(), about)


def given(translator):
    random = torch.Generator().manual_seed(0)
    if translator.takes == "image":
        return torch.rand(1, 3, 24, 32, generator=random)
    return torch.randint(0, 19, (1, 24, 32), generator=random)


@pytest.fixture
def no_training(monkeypatch):
    """Whatever only training needs cannot be built."""
    for part in (
        CropDiscriminator,
        PatchDiscriminator,
        MultiscaleDiscriminator,
        FeatureEncoder,
        PatchProjection,
        ImagePool,
    ):

        def refuse(self, *arguments, part=part, **settings):
            raise AssertionError(f"{part.__name__} is built to translate")

        monkeypatch.setattr(part, "__init__", refuse)


@pytest.mark.parametrize("ema_decay", [None, 0.9])
@pytest.mark.parametrize("method", SMALL)
def test_a_translator_is_opened_without_training(method, ema_decay, tmp_path, request):
    trained, checkpoint = saved(tmp_path, method, ema_decay=ema_decay)
    request.getfixturevalue("no_training")
    opened, found = load_translator(checkpoint, CPU)
    assert found == checkpoint and not isinstance(opened, Method) and not opened.training
    for direction in trained.directions:
        expected = trained.translate(given(trained), direction)
        assert torch.equal(opened.translate(given(opened), direction), expected)


def test_every_method_is_tried():
    assert sorted(SMALL) == sorted(TRAININGS)


def test_weights_of_another_network_are_refused(tmp_path):
    settings = TRAININGS["cyclegan"](**SMALL["cyclegan"])
    other = build_translator(TRAININGS["cyclegan"](**SMALL["cyclegan"] | {"generator_channels": 4}))
    about = {"stage": "translator", "settings": settings.model_dump(mode="json")}
    checkpoint = save_checkpoint(tmp_path, 1, other, {}, about)
    with pytest.raises(CheckpointError, match="is of another network"):
        load_translator(checkpoint, CPU)
