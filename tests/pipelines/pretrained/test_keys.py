"""What network a published state dict is of, told by the names and shapes of its tensors alone."""

from collections import OrderedDict

import pytest
import torch

from pipelines.errors import CheckpointError
from pipelines.pretrained.keys import recognise
from tests.pipelines import published
from tests.pipelines.published import drawn


def wrapped(state):
    return OrderedDict((f"module.{key}", value) for key, value in state.items())


def compiled(state):
    return OrderedDict((f"_orig_mod.module.{key}", value) for key, value in state.items())


@pytest.mark.parametrize(
    ("shapes", "expected"),
    [
        (published.resnet(), ("resnet9", "instance", False)),
        (published.resnet(blocks=6, dropout=True), ("resnet6", "instance", False)),
        (published.resnet(stale=True, dropout=True), ("resnet9", "instance", False)),
        (published.resnet(norm="batch", dropout=True), ("resnet9", "batch", False)),
        (published.antialiased_resnet(), ("resnet9", "instance", True)),
        (published.antialiased_resnet(blocks=6), ("resnet6", "instance", True)),
        (published.unet(4), ("unet256", "batch", False)),
        (published.unet(4, 7, norm="instance"), ("unet128", "instance", False)),
        (published.unet_light(), ("unet_light", "instance", False)),
    ],
)
@pytest.mark.parametrize("wrap", [dict, wrapped, compiled])
def test_generators_are_recognised(shapes, expected, wrap):
    found = recognise(wrap(drawn(shapes)))
    assert found.kind == "generator"
    assert (found.settings["generator"], found.settings["norm"], found.settings["antialias"]) == expected
    assert found.settings["generator_channels"] == 4
    assert not any("conv_block.7" in key or key.startswith(("module", "_orig_mod")) for key in found.state)


@pytest.mark.parametrize(
    ("filters", "where", "title"),
    [
        ({"up": False}, "halving", "antialiased where it halves (CUT's --no_antialias_up)"),
        ({"down": False}, "doubling", "antialiased where it doubles (CUT's --no_antialias)"),
    ],
)
def test_cuts_generators_that_blur_at_one_end_are_told_apart(filters, where, title):
    found = recognise(drawn(published.antialiased_resnet(**filters)))
    assert (found.settings["antialias"], found.settings["antialias_at"]) == (True, where)
    assert title in found.title


def test_stale_statistics_are_told_from_a_batch_norms():
    stale = recognise(drawn(published.resnet(stale=True)))
    assert len(stale.stale) == 3 * 23 and not any("running" in key for key in stale.state)
    live = recognise(drawn(published.resnet(norm="batch")))
    assert not live.stale and sum("running_mean" in key for key in live.state) == 23


@pytest.mark.parametrize(
    ("shapes", "labels", "expected"),
    [
        (published.pix2pixhd_global(), None, (35, True, 0)),
        (published.pix2pixhd_global(ins=35), None, (35, False, 0)),
        (published.pix2pixhd_global(ins=39), None, (35, True, 3)),
        (published.pix2pixhd_global(ins=21), 19, (19, True, 0)),
        (published.pix2pixhd_local(), None, (35, True, 0)),
    ],
)
def test_generators_from_label_maps_are_recognised(shapes, labels, expected):
    found = recognise(drawn(shapes), labels)
    assert found.kind == "label_map_generator"
    assert tuple(found.settings[name] for name in ("labels", "edges", "style_features")) == expected
    assert found.settings["generator_channels"] == 4
    assert found.settings["halvings"] == 4 and found.settings["blocks"] == 9


def test_discriminators_of_images_are_recognised():
    patch = recognise(drawn(published.patch_discriminator(4)))
    assert patch.settings["discriminator"] == "patch" and patch.settings["discriminator_layers"] == 3
    pixel = published.convolution("net.0", 4, 3, 1) | published.convolution("net.2", 8, 4, 1)
    pixel = recognise(drawn(pixel | published.convolution("net.5", 1, 8, 1)))
    assert pixel.settings == {"discriminator": "pixel", "discriminator_channels": 4, "norm": "instance"}


@pytest.mark.parametrize("features", [True, False])
def test_multiscale_discriminators_are_recognised(features):
    found = recognise(drawn(published.pix2pixhd_discriminator(scales=3, features=features)))
    assert found.kind == "multiscale_discriminator"
    assert found.settings == {
        "in_channels": 39,
        "discriminator_channels": 4,
        "discriminator_layers": 3,
        "scales": 3,
    }
    assert {key.split(".")[0] for key in found.state} == {f"scale{s}_layer{n}" for s in range(3) for n in range(5)}


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ({"fc.weight": torch.zeros(3, 3)}, "no architecture that is known here .tensors called fc.weight"),
        (drawn(published.resnet(blocks=8)), "8 blocks, 2 halvings and 3 channels in; expected 6 or 9"),
        (drawn(published.unet(2, 6)), "U-Net with 6 halvings"),
        (drawn(published.patch_discriminator(ins=6)), "discriminator of 6 channels, of image pairs"),
        (drawn(published.pix2pixhd_global(ins=20)), "20 channels in, for 35 labels.*--labels"),
        (drawn(published.pix2pixhd_local(ins=3)), "from images .3 channels in"),
        (drawn(published.resnet(ins=1)), "from 1 to 3 channels, of grey or other images; expected one of images in co"),
        (drawn(published.resnet(outs=1)), "from 3 to 1 channels, of grey"),
        (drawn(published.unet(2, ins=1)), "U-Net with 8 halvings and 1 channels in"),
        (drawn(published.unet(2, outs=1)), "a U-Net from 3 to 1 channels, of grey"),
        (drawn(published.resnet(ins=5)), "9 blocks, 2 halvings and 5 channels in"),
        (drawn(published.unet_light(blocks=6)), "HyPER-GAN's generator with 6 blocks and 3 channels in; expected 4"),
        (drawn(published.unet_light(outs=1)), "HyPER-GAN's generator from 3 to 1 channels, of grey"),
        ({"mlp_0.0.weight": torch.zeros(4, 3)}, "projection of patches"),
        (
            {"model.0.weight": torch.zeros(1, 3, 4, 4), "model.2.filt": torch.zeros(1)},
            "CUT's antialiased discriminator, which serves its tr",
        ),
        ({"model.10.conv_block.1.weight": torch.zeros(4, 4, 3, 3)}, "no weights model.1.weight"),
        (
            {
                "layer0.0.weight": torch.zeros(4, 3, 3, 3),
                "layer4.0.conv1.weight": torch.zeros(4),
                "cls.bias": torch.zeros(19),
            },
            "no architecture that is known here .tensors called cls.bias, layer0.0.weight",
        ),
    ],
)
def test_what_this_project_has_not_got_is_named(state, message):
    with pytest.raises(CheckpointError, match=message):
        recognise(state)


def test_channels_of_an_image_are_not_taken_for_labels():
    """As many labels as an image has channels say nothing against its being one."""
    for shapes in (published.pix2pixhd_global(ins=3), published.resnet(), published.unet(), published.unet_light()):
        with pytest.raises(CheckpointError, match=r"3 channels in, which are an image's .*leave --labels out"):
            recognise(drawn(shapes), labels=3)
    with pytest.raises(CheckpointError, match="from 1 to 3 channels, of grey"):
        recognise(drawn(published.resnet(ins=1)), labels=1)
    with pytest.raises(CheckpointError, match=r"from 3 labels, as --labels says, which no label space has here; expec"):
        recognise(drawn(published.pix2pixhd_global(ins=4)), labels=3)  # or an image's and edges
