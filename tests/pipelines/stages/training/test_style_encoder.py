"""The encoder of AdaIN: its weights found or asked for in one line, noted in the run, and not exchanged."""

import json

import pytest
import torch
import torchvision

from pipelines.errors import CheckpointError, UserError
from pipelines.experiment.translators import AdaINSettings
from pipelines.pretrained.packaged_encoders import packaged_weights
from pipelines.stages.training import style_encoder as module
from pipelines.stages.training.style_encoder import (
    refuse_missing_style_encoder,
    style_encoder,
    style_encoder_weights,
)


@pytest.fixture
def cache(monkeypatch, tmp_path):
    """An empty cache of weights, and a run folder beside it."""
    monkeypatch.setattr(module, "torch_cache", lambda: tmp_path / "cache")
    (tmp_path / "cache").mkdir()
    (tmp_path / "run").mkdir()
    return tmp_path / "cache"


def vgg(path):
    """A file of VGG-19's as far as relu4_1: zeros."""
    with torch.device("meta"):
        shapes = torchvision.models.vgg19().features[:20].state_dict()
    torch.save({f"features.{key}": torch.zeros(one.shape) for key, one in shapes.items()}, path)
    return path


def test_without_weights_of_vgg_it_says_what_to_do(cache, tmp_path):
    with pytest.raises(UserError, match=r'no VGG-19 weights in .*vgg19-dcbb9e9d\.pth.*encoder = "efficientnet_lite0"'):
        style_encoder(AdaINSettings(method="adain"), tmp_path / "run")
    assert not (tmp_path / "run/notes.json").exists()
    with pytest.raises(
        UserError, match=r"translator\.encoder_weights: .*own\.pth does not exist; give a file of vgg19"
    ):
        style_encoder_weights(AdaINSettings(method="adain", encoder_weights=str(tmp_path / "own.pth")))


def test_weights_are_missed_as_long_as_a_translator_is_to_be_trained(cache, make_workspace):
    workspace = make_workspace('translator={method = "adain"}', "compare.seeds=[0, 1]")
    for seed in (0, 1):
        with pytest.raises(UserError, match="no VGG-19 weights"):
            refuse_missing_style_encoder(workspace)
        workspace.translator(seed).mkdir(parents=True)
        (workspace.translator(seed) / "final.json").write_text("{}")
    refuse_missing_style_encoder(workspace)


def test_other_methods_miss_no_weights(cache, make_workspace):
    refuse_missing_style_encoder(make_workspace())
    with pytest.raises(UserError, match="no VGG-19 weights"):  # which are not here
        style_encoder_weights(AdaINSettings(method="adain"))


def test_weights_come_from_the_cache_and_are_not_exchanged(cache, tmp_path):
    vgg(cache / "vgg19-dcbb9e9d.pth")
    encoder = style_encoder(AdaINSettings(method="adain"), tmp_path / "run")
    assert not any(one.any() for one in encoder.parameters())
    assert len(json.loads((tmp_path / "run/notes.json").read_text())["style_encoder"]) == 64
    torch.save({}, tmp_path / "own.pth")
    with pytest.raises(UserError, match=r"begun with other files.*style_encoder"):
        style_encoder(AdaINSettings(method="adain", encoder_weights=str(tmp_path / "own.pth")), tmp_path / "run")


def test_a_package_brings_its_own(cache, tmp_path):
    encoder = style_encoder(AdaINSettings(method="adain", encoder="efficientnet_lite0"), tmp_path / "run")
    expected = packaged_weights("efficientnet_lite0")
    assert all(torch.equal(value, expected[key]) for key, value in encoder.network.state_dict().items())


def test_a_file_of_another_network_is_refused(cache, tmp_path):
    settings = AdaINSettings(
        method="adain", encoder="efficientnet_lite0", encoder_weights=str(vgg(tmp_path / "vgg.pth"))
    )
    with pytest.raises(CheckpointError, match=r"vgg\.pth: These are no weights of EfficientNet-Lite0"):
        style_encoder(settings, tmp_path / "run")
