"""Trained networks are opened by what they are made of: nothing that only training needs is built or read."""

import pytest
import torch

from pipelines.engine.checkpoints import save_checkpoint
from pipelines.engine.launch import Machine
from pipelines.errors import CheckpointError
from pipelines.experiment.trained import build_translator, load_translator
from pipelines.experiment.translators import TRAININGS
from segment.methods.method import Method
from translate.image_pool import ImagePool
from translate.networks.feature_encoder import FeatureEncoder
from translate.networks.multiscale_discriminator import MultiscaleDiscriminator
from translate.networks.patch_discriminator import PatchDiscriminator
from translate.networks.patch_projection import PatchProjection

CPU = Machine(torch.device("cpu"), "fp32")
NARROW = {"generator_channels": 2, "discriminator_channels": 2}
SMALL = {
    "cyclegan": NARROW | {"generator": "resnet6"},
    "cut": NARROW | {"generator": "resnet6", "projection_features": 4},
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
    for part in (PatchDiscriminator, MultiscaleDiscriminator, FeatureEncoder, PatchProjection, ImagePool):

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
