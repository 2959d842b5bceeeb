"""The settings of stage two's training: they know the networks and losses that there are, and refuse what cannot be."""

import dataclasses
from typing import get_args

import pytest
from pydantic import ValidationError

from pipelines.experiment.segmenters import ADAPTATIONS, NetworkName, SegmenterSettings
from pipelines.settings import explain
from segment.losses import LOSSES
from segment.methods import METHODS
from segment.networks import NETWORKS


def test_every_network_can_be_asked_for_and_no_other():
    assert sorted(get_args(NetworkName)) == sorted(NETWORKS)


def test_every_loss_can_be_asked_for_and_no_other():
    assert sorted(get_args(SegmenterSettings.model_fields["loss"].annotation)) == sorted(LOSSES)


def test_every_method_can_adapt_with_its_own_settings_and_no_other():
    assert sorted([*ADAPTATIONS, "supervised"]) == sorted(METHODS)
    for name, model in ADAPTATIONS.items():
        fields = {field.name: field.default for field in dataclasses.fields(METHODS[name].Settings)}
        assert model(method=name).declared_values() == fields
    settings = SegmenterSettings(adaptation={"method": "dacs", "threshold": 0.5})
    assert settings.method == "dacs" and settings.adaptation.threshold == 0.5


def test_random_weights_are_no_weights_for_a_variant_of_settings_that_have_some():
    assert SegmenterSettings(encoder_weights="random") == SegmenterSettings()
    assert SegmenterSettings(encoder_weights="package").encoder_weights == "package"


def test_what_came_later_is_no_part_of_an_identity():
    """Runs that were made before stay what they are: see `SegmenterSettings.identity`."""
    plain, adapted = SegmenterSettings(), SegmenterSettings(adaptation={"method": "maxsquare"})
    assert adapted.identity(adapts=False) == plain.identity(adapts=True)
    assert not {"adaptation", "head_learning_rate"} & plain.identity(adapts=True).keys()
    assert plain.identity(adapts=True)["method"] == "supervised" and plain.identity(adapts=True)["aspp_branches"] == 2
    assert adapted.identity(adapts=True)["adaptation"]["method"] == "maxsquare"
    identity = adapted.identity(adapts=True)["adaptation"]
    assert identity.keys() == {"method", "certainty_weight", "image_wise", "rarity_power"}
    guided = SegmenterSettings(adaptation={"method": "maxsquare", "guidance_weight": 0.009})
    assert guided.identity(adapts=True)["adaptation"] == identity | {"guidance_weight": 0.009}
    assert SegmenterSettings(**plain.identity(adapts=True)) == plain


def test_any_method_takes_longer_features_beside_its_own_loss_but_safn_which_is_that_and_adabn_which_learns_no_target():
    for name in ADAPTATIONS.keys() - {"safn", "adabn"}:
        teachers = ("oracle",) * METHODS[name].takes_teacher
        adaptation = {"method": name, "feature_norm": {"increment": 0.5}}
        settings = SegmenterSettings(adaptation=adaptation, teachers=teachers)
        assert settings.adaptation.feature_norm.declared_values() == {
            "weight": 0.00015, "increment": 0.5, "damping": 1.5
        }  # fmt: skip
        assert settings.identity(adapts=True)["adaptation"]["feature_norm"]["increment"] == 0.5
    for name in ("safn", "adabn"):
        with pytest.raises(ValidationError, match="feature_norm"):
            SegmenterSettings(adaptation={"method": name, "feature_norm": {}})


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
        ({"style": "cyclegan"}, "style: expected 'colour', 'histogram', 'fourier' or 'either', got 'cyclegan'"),
        ({"batch_norm": "fixed"}, "batch_norm: expected 'batch', 'frozen', 'scales_frozen' or 'synced', got 'fixed'"),
        ({"head_learning_rate": 0}, "head_learning_rate: must be greater than 0, got 0"),
        ({"adaptation": {"method": "dasc"}}, "adaptation.method: 'dasc' is unknown: did you mean dacs?"),
        ({"adaptation": {}}, "adaptation.method is missing: expected one of adabn, adaptsegnet, "),
        ({"adaptation": {"method": "adabn"}, "batch_norm": "frozen"}, 'and batch_norm is "frozen"; choose another'),
        (
            {"adaptation": {"method": "dacs", "treshold": 0.9}},
            "unknown key adaptation.treshold: did you mean threshold?",
        ),
        (
            {"adaptation": {"method": "dacs", "feature_norm": {"wieght": 1}}},
            "unknown key adaptation.feature_norm.wieght: did you mean weight?",
        ),
        (
            {"adaptation": {"method": "dacs", "threshold": 2}},
            "adaptation.threshold: must be less than or equal to 1, got 2",
        ),
        (
            {"adaptation": {"method": "adaptsegnet", "adversarial_weight": 0}},
            "adaptation: set adversarial_weight or auxiliary_adversarial_weight above 0",
        ),
        ({"adaptation": {"method": "distillation"}}, "distillation learns from a teacher; set teachers to"),
        ({"teachers": ("oracle",)}, "supervised learns from no teacher; leave teachers out"),
        (
            {"adaptation": {"method": "dacs", "mix": "circle"}},
            "adaptation.mix: expected 'classes' or 'rectangle', got 'circle'",
        ),
        ({"jpg": 0.5}, "unknown key jpg: did you mean jpeg?"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(settings, message):
    with pytest.raises(ValidationError) as error:
        SegmenterSettings(**settings)
    told = explain(error.value, SegmenterSettings)
    assert message in told and "\n" not in told
