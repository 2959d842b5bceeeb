"""Settings of stage one's methods: what each method is given, and what contradicts itself."""

import contextlib
import dataclasses
import json
from pathlib import Path
from typing import get_args

import pytest
import torch
from pydantic import TypeAdapter, ValidationError

from pipelines.experiment.saving import RETENTION
from pipelines.experiment.trained import build_translator
from pipelines.experiment.translators import (
    ARCHITECTURE,
    ARCHITECTURE_OF,
    TRAININGS,
    AnyTranslatorSettings,
    CycleGANSettings,
    LoadableTranslatorSettings,
    StudentSettings,
    cannot_teach,
    other_architecture,
)
from pipelines.settings import decisive, explain
from translate.choices import Direction
from translate.methods import METHODS, TRANSLATORS
from translate.methods.published import OF_IMAGES

ADAPTER = TypeAdapter(AnyTranslatorSettings)
RECORDED = json.loads((Path(__file__).parent / "translator_settings.json").read_text())
"""Settings as runs recorded them when each was a line of a model, and what they were read from."""


def refusal(content):
    with pytest.raises(ValidationError) as caught:
        ADAPTER.validate_python(content)
    return explain(caught.value, AnyTranslatorSettings)


def guided(**guidance):
    return {"steps": 100, "guidance": guidance}


def test_a_table_without_a_method_is_cyclegan_as_its_authors_ran_it():
    settings = ADAPTER.validate_python({})
    assert isinstance(settings, CycleGANSettings)
    assert settings.guided_by is None and settings.ema_decay is None and settings.initial is None
    assert settings.scale == (1, 1) and settings.flip


@pytest.mark.parametrize("method", METHODS)
def test_the_method_is_made_of_the_settings(method):
    small = {"generator_channels": 2} | ({} if method == "adain" else {"discriminator_channels": 2})
    settings = ADAPTER.validate_python({"method": method, **small, "initial": "elsewhere", "scale": [0.5, 2]})
    made = METHODS[method](METHODS[method].Settings(**settings.declared_values()))
    assert made.settings.generator_channels == 2 and made.settings.steps == settings.steps


@pytest.mark.parametrize("method", METHODS)
def test_every_knob_of_a_method_stands_beside_it_and_is_read_from_there(method):
    assert list(TRAININGS) == list(METHODS)
    defaults = {field.name: field.default for field in dataclasses.fields(METHODS[method].Settings)}
    settings = ADAPTER.validate_python({"method": method})
    assert settings.declared_values() == defaults
    assert settings.learns_from == METHODS[method].learns_from


@pytest.mark.parametrize("number", range(len(RECORDED)))
def test_what_was_trained_before_is_not_trained_again(number):
    """A run is known by its settings, so these stay the same, key by key; what came later is left out at its default.

    An import writes down what it found and nothing else, so its settings may grow by what is absent by default. What is
    kept of checkpoints decides nothing.
    """
    recorded = RECORDED[number]
    settings = TypeAdapter(LoadableTranslatorSettings).validate_python(recorded["read"])
    absent = type(settings).model_fields.keys() - recorded["settings"].keys()
    later = absent & RETENTION if settings.method in TRAININGS else absent
    later |= absent - decisive(settings).keys()
    assert settings.model_dump(mode="json", exclude=later) == recorded["settings"]
    assert all(getattr(settings, name) == type(settings).model_fields[name].default for name in later)
    assert settings.method in TRANSLATORS


def test_guidance_is_made_of_its_settings_and_the_expert_apart():
    settings = ADAPTER.validate_python(guided(task_weight=2, alpha=0.25, start_step=7, expert="oracle"))
    assert settings.guided_by.declared_values() == {
        "task_weight": 2,
        "label_weight": 0,
        "consistency_weight": 0,
        "alpha": 0.25,
        "start_step": 7,
    }
    assert "guidance" not in settings.declared_values()


def test_unguided_is_the_same_without_guidance_and_without_itself_as_a_start():
    settings = ADAPTER.validate_python(guided(task_weight=1) | {"initial": "unguided", "cycle_weight": 5})
    unguided = settings.unguided()
    assert unguided.guidance is None and unguided.initial is None and unguided.cycle_weight == 5
    assert ADAPTER.validate_python(guided(task_weight=1) | {"initial": "run"}).unguided().initial == "run"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (guided(), "guidance: set task_weight, label_weight or consistency_weight above 0, or leave guidance out"),
        (guided(expert="oracle"), "set task_weight, label_weight or consistency_weight above 0"),
        (guided(task_weight=-1), "guidance.task_weight: must be greater than or equal to 0, got -1"),
        (guided(task_weight=1, alpha=1.5), "guidance.alpha: must be less than or equal to 1, got 1.5"),
        (
            guided(label_weight=1, start_step=100),
            "guidance.start_step is 100 and steps 100; set start_step below steps",
        ),
        (
            {"method": "student", "steps": 100, "guidance": {"label_weight": 1, "start_step": 100}},
            "guidance.start_step is 100 and steps 100; set start_step below steps",
        ),
        (guided(lable_weight=1), "unknown key guidance.lable_weight: did you mean label_weight?"),
        ({"generator": "unet128", "antialias": True}, "antialias is for resnet6 and resnet9; the generator is unet128"),
        ({"generator": "unet256", "crop": 128}, "crop is 128; unet256 takes multiples of 256"),
        ({"discriminator_layers": 5, "crop": 92}, "crop is 92; a discriminator of 5 layers needs 96 or more"),
        (
            {"method": "cut", "generator": "unet128"},
            "expected 'resnet6', 'resnet9', 'unet_light' or 'pyramid', got 'une",
        ),
        ({"method": "cut", "discriminator_layers": 5, "crop": 92}, "a discriminator of 5 layers needs 96 or more"),
        ({"method": "adain", "crop": 100}, "crop is 100x100; AdaIN's encoders take multiples of 8"),
        ({"method": "adain", "encoder": "vgg16"}, "encoder: 'vgg16' is unknown: did you mean vgg19?"),
        ({"method": "adain", "strength": 1.5}, "strength: must be less than or equal to 1, got 1.5"),
        ({"method": "cut", "discriminator": "pxiel"}, "discriminator: 'pxiel' is unknown: did you mean pixel?"),
        ({"gan_loss": "x"}, "gan_loss: expected 'least_squares', 'vanilla' or 'hinge', got 'x'"),
        ({"schedule": "x"}, "schedule: expected 'linear', 'cosine', 'step' or 'constant', got 'x'"),
        ({"initialisation": "x"}, "expected 'normal', 'xavier', 'kaiming' or 'orthogonal', got 'x'"),
        ({"crop": 25}, "crop: must be a multiple of 4, got 25"),
        ({"method": "pix2pixhd", "labels": 34}, "labels: expected 19 or 35, got 34"),
        ({"betas": [0.5, 0.9]}, "unknown key betas"),
        ({"method": "cyclgan"}, "method: 'cyclgan' is unknown: did you mean cyclegan?"),
        ({"method": "published"}, "method: 'published' is unknown: expected one of adain, cut, cyclegan, p"),
        ({"ema_decay": 1.0}, "ema_decay: must be less than 1, got 1.0"),
        ({"scale": [2, 0.5]}, "scale goes from 2 to 0.5; the first must be the smaller"),
    ],
)
def test_contradictions_are_refused_at_construction(content, message):
    assert message in refusal(content)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"height": 100, "crop": 128}, "crop is 128 high and frames at most 100 (height 100 times scale 1)"),
        ({"height": 200, "crop": 128, "scale": [0.5, 0.5]}, "crop is 128 high and frames at most 100"),
        (
            {"method": "pix2pixhd", "height": 256, "crop": [1024, 512]},
            "crop is 512 high and frames at most 256 (height 256 times scale 1), so that every crop would be an enl",
        ),
        (
            {"height": 128, "crop": 128, "scale": [0.5, 1.0]},
            "scale changes nothing: no frame is brought to less than crop, which is 128, and none to more than 128",
        ),
        ({"height": 200, "crop": 100, "scale": [0.25, 0.5]}, "scale changes nothing"),
    ],
)
def test_crops_that_never_fit_and_scales_that_change_nothing_are_told(content, message):
    """...and yet a checkpoint that was trained so is read: its frames were blurred, but it translates."""
    with pytest.raises(ValueError) as told:
        ADAPTER.validate_python(content).check_crop_fits()
    assert message in str(told.value)


@pytest.mark.parametrize(
    "content",
    [
        {"height": 128, "crop": 128},
        {"height": 100, "crop": 128, "scale": [1.0, 2.0]},
        {"height": 128, "crop": 128, "scale": [0.8, 1.5]},
        {"method": "pix2pixhd", "height": 512, "crop": [1024, 512]},
    ],
)
def test_crops_that_fit_into_frames_at_some_scale_are_no_contradiction(content):
    ADAPTER.validate_python(content).check_crop_fits()


@pytest.mark.parametrize("method", METHODS)
def test_every_methods_own_crops_fit(method):
    ADAPTER.validate_python({"method": method}).check_crop_fits()


# --- which settings make another network ----------------------------------------------------------------------------

NARROW = {"generator_channels": 8, "discriminator_channels": 8, "crop": 128, "height": 140}
OF_METHOD = {
    "pix2pixhd": {
        "generator": "local", "halvings": 2, "blocks": 1, "enhancer_blocks": 1, "style_features": 2,
        "style_channels": 4, "style_halvings": 2, "crop": [128, 128],
    },
    "student": {"patch": 64},
}  # fmt: skip


def other_values(annotation, value):
    """Values that a setting might have instead; those that do not go with the others are refused by the model."""
    if isinstance(value, bool):
        return [not value]
    named = [one for one in get_args(annotation) if isinstance(one, int | str) and one != value]
    return named or ([value + 2, value * 2, value + 4] if isinstance(value, int) else [])


def shapes(settings):
    """The weights that another training may begin with, by network and name."""
    with torch.device("meta"):
        networks = build_translator(settings).taken_over()
    return {name: {key: one.shape for key, one in part.state_dict().items()} for name, part in networks.items()}


@pytest.mark.parametrize("method", TRAININGS)
def test_the_settings_that_name_an_architecture_are_those_that_change_weights(method):
    """What begins with another's weights is refused by these settings, days before the weights are read."""
    model = TRAININGS[method]
    chosen = {key: value for key, value in NARROW.items() if key in model.model_fields} | OF_METHOD.get(method, {})
    settings = model.model_validate({"method": method, **chosen})
    usual = shapes(settings)
    for key, field in model.model_fields.items():
        if key in ("method", "initial", "teacher", "guidance"):
            continue
        changes = set()
        for value in other_values(field.annotation, getattr(settings, key)):
            with contextlib.suppress(ValidationError, ValueError):
                changed = model.model_validate({"method": method, **chosen, key: value})
                found = shapes(changed)
                common = usual.keys() & found.keys()
                differs = any(usual[name] != found[name] for name in common)
                changes.add(differs)
                told = other_architecture(changed, settings.model_dump(mode="json"))
                assert told == key or not differs, f"{method}: {key} belongs to ARCHITECTURE"
                if isinstance(value, int):
                    break  # one that is accepted tells enough
        if key in (*ARCHITECTURE, *ARCHITECTURE_OF.get(method, ())):
            assert True in changes, f"{method}: {key} changes no weights"


# --- who can teach a student ----------------------------------------------------------------------------------------


def a_student(**settings):
    return StudentSettings(crop=100, height=100, patch=64, generator="resnet6", **settings)


@pytest.mark.parametrize("method", METHODS)
def test_the_ways_of_a_teacher_are_those_of_its_method(method):
    for direction in get_args(Direction):
        why = cannot_teach(
            a_student(teacher_direction=direction), ADAPTER.validate_python({"method": method}).model_dump()
        )
        assert (why is None) == (direction in METHODS[method].directions), why


@pytest.mark.parametrize("name", OF_IMAGES)
def test_features_are_of_generators_with_an_encoder_that_take_the_students_crops(name):
    """What a student could not imitate shows by the names, before hours of the teacher's work."""
    generator, teacher = None, {"method": "published", "generator": name, "directions": ["source_to_target"]}
    with torch.device("meta"):
        generator = OF_IMAGES[name]()
    assert cannot_teach(a_student(), teacher) is None
    imitated = cannot_teach(a_student(feature_weight=1), teacher)
    if hasattr(generator, "compared_layers"):
        assert imitated == (
            None
            if 100 % generator.side_multiple == 0
            else f"its features are imitated (feature_weight), and crop is 100; {name} takes multiples of 8"
        )
    else:
        assert imitated.startswith(f"its generator is {name}, which has no encoder to compare features of, and feature")
    assert a_student().crop >= getattr(generator, "smallest_side", 0) or not hasattr(generator, "compared_layers")


@pytest.mark.parametrize("method", ["adain", "pix2pixhd"])
def test_methods_with_generators_of_their_own_have_no_features_to_imitate(method):
    teacher = ADAPTER.validate_python({"method": method}).model_dump(mode="json")
    assert "which has no encoder to compare features of" in cannot_teach(a_student(feature_weight=1), teacher)
