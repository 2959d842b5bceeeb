"""The settings of stage two's training: they know the networks and losses that there are, and refuse what cannot be."""

from typing import get_args

import pytest
from pydantic import ValidationError

from pipelines.experiment.segmenters import NetworkName, SegmenterSettings
from pipelines.settings import explain
from segment.losses import LOSSES
from segment.networks import NETWORKS
from segment.normalisation import BATCH_NORMS


def test_every_network_can_be_asked_for_and_no_other():
    assert sorted(get_args(NetworkName)) == sorted(NETWORKS)


@pytest.mark.parametrize(("setting", "known"), [("loss", LOSSES), ("batch_norm", BATCH_NORMS)])
def test_every_loss_and_normalisation_can_be_asked_for_and_no_other(setting, known):
    assert sorted(get_args(SegmenterSettings.model_fields[setting].annotation)) == sorted(known)


def test_every_setting_says_what_it_is():
    spoken_for = {"method", "network", "shares", "steps", "optimizer", "learning_rate", "checkpoint_every"}
    silent = {name for name, field in SegmenterSettings.model_fields.items() if not field.description}
    assert silent <= spoken_for | {"preview_every"}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"scale": (2.0, 0.5)}, "scale goes from 2 to 0.5; the first must be the smaller"),
        ({"jpeg_quality": (95, 40)}, "jpeg_quality goes from 95 to 40; the first must be the smaller"),
        ({"jpeg_quality": (0, 40)}, "jpeg_quality.0: must be greater than or equal to 1, got 0"),
        ({"class_weights": "enet"}, "class_weights is 'enet'; expected \"inverse_log\" or 19 numbers, one a class"),
        ({"class_weights": (1.0, 2.0)}, 'class_weights holds 2 numbers; expected "inverse_log" or 19 numbers'),
        ({"class_weights": (0.0,) * 19}, "class_weights goes from 0 to 0; expected none below 0 and not all 0"),
        ({"class_weights": (1.0,) * 18 + (-1.0,)}, "class_weights goes from -1 to 1; expected none below 0"),
        ({"warmup_steps": 9, "steps": 9}, "warmup_steps is 9 and steps 9; set warmup_steps below steps"),
        ({"last_steps_on_target": 5}, "last_steps_on_target needs labelled target frames; set shares.target above 0"),
        (
            {"last_steps_on_target": 9, "steps": 8, "warmup_steps": 0, "shares": {"translated": 0.5, "target": 0.5}},
            "last_steps_on_target is 9 and steps 8; lower it",
        ),
        ({"batch": 0}, "batch: must be greater than 0, got 0"),
        ({"noise": 1.5}, "noise: must be less than or equal to 1, got 1.5"),
        ({"augment_on": "gpu"}, "augment_on: expected 'workers' or 'device', got 'gpu'"),
        ({"style": "cyclegan"}, "style: expected 'colour', 'fourier' or 'either', got 'cyclegan'"),
        ({"batch_norm": "fixed"}, "batch_norm: expected 'batch', 'frozen' or 'synced', got 'fixed'"),
        ({"aspp_branches": 3}, "aspp_branches: expected 2 or 4, got 3"),
        ({"jpg": 0.5}, "unknown key jpg: did you mean jpeg?"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(settings, message):
    with pytest.raises(ValidationError) as error:
        SegmenterSettings(**settings)
    told = explain(error.value, SegmenterSettings)
    assert message in told and "\n" not in told
