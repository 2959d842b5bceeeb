"""What an experiment knows of itself. What it refuses is tested where it is read: `test_config.py`."""

import pytest

from pipelines.experiment.experiment import Experiment, VariantSettings

CAMVID = {"name": "a", "reader": "camvid", "root": "camvid"}
CAMERA = {"reader": "toyworld", "renderer": "camera", "frames": 1}


def experiment(**changes):
    return Experiment.model_validate(
        {"name": "x", "source": [CAMVID], "target": [CAMVID], "validation": [CAMVID]} | changes
    )


def test_what_the_validation_labels_cannot_tell_apart_is_one_class():
    """CamVid has one label for lights and signs, one for riders and bicycles; toy world's camera tells all apart."""
    assert experiment().class_groups == [[6, 7], [12, 18], [13, 14, 15]]
    assert experiment(validation=[CAMERA]).class_groups == []


@pytest.mark.parametrize(("validation", "test"), [(CAMERA, CAMVID), (CAMVID, CAMERA)])
def test_test_frames_tell_the_same_classes_apart_as_validation_frames(validation, test):
    with pytest.raises(ValueError, match="test and of validation tell different classes apart"):
        experiment(validation=[validation], test=[test])
    assert experiment(validation=[CAMVID], test=[CAMVID]).class_groups == [[6, 7], [12, 18], [13, 14, 15]]


def test_of_the_source_sets_those_are_used_that_are_named():
    sets = [CAMVID, CAMVID | {"name": "b"}]
    assert [one.name for one in experiment(source=sets).used_source] == ["a", "b"]
    assert [one.name for one in experiment(source=sets, source_sets=["b"]).used_source] == ["b"]


@pytest.mark.parametrize("builds_on", [{"initial": "translated"}, {"teachers": ["oracle", "translated"]}])
def test_a_segmenter_does_not_build_on_itself(builds_on):
    adaptation = {"method": "distillation"} if "teachers" in builds_on else {"method": "fda"}
    with pytest.raises(ValueError, match=r"segmenter\.\w+ is 'translated', the arm that these settings are of; name"):
        experiment(segmenter={"adaptation": adaptation} | builds_on)


def test_a_variant_with_numbers_of_labels_has_a_row_of_each():
    assert VariantSettings(name="v").rows == {"v": None}
    assert VariantSettings(name="v", labels=(5, "all")).rows == {"v_5_labels": 5, "v_all_labels": 0}


def test_a_variant_leaves_a_segmenter_if_it_trains_one_of_its_own():
    assert VariantSettings(name="v").leaves_a_segmenter
    assert not VariantSettings(name="v", train_segmenter=False).leaves_a_segmenter
    assert not VariantSettings(name="v", average=("a", "b")).leaves_a_segmenter


STUDENT = {"method": "student"}


@pytest.mark.parametrize(
    ("part", "settings", "key"),
    [
        ("source", [CAMVID | {"root": "~/x"}], "0.root"),
        ("source", [CAMVID | {"frames": "~/x"}], "0.frames"),
        ("source", [{"reader": "gta5", "root": "a", "splits": "~/x"}], "0.splits"),
        ("source", [{"reader": "idd_lite", "root": "a", "splits": "~/x"}], "0.splits"),
        ("source", [{"reader": "pseudo_labelled", "root": "a", "images": "~/x"}], "0.images"),
        ("source", [CAMERA | {"root": "~/x"}], "0.root"),
        ("labelled_target", "~/x", ""),
        ("segmenter", {"encoder_weights": "~/x"}, "encoder_weights"),
        ("segmenter", {"initial": "~/x"}, "initial"),
        ("segmenter", {"teachers": ["~/x"], "adaptation": {"method": "distillation"}}, "teachers.0"),
        ("translator", {"initial": "~/x"}, "initial"),
        ("translator", {"guidance": {"expert": "~/x", "label_weight": 1}}, "guidance.expert"),
        ("translator", {"method": "pix2pixhd", "perceptual_weights": "~/x"}, "perceptual_weights"),
        ("translator", {"method": "adain", "encoder_weights": "~/x"}, "encoder_weights"),
        *(("translator", STUDENT | {key: "~/x"}, key) for key in ("teacher", "encoder", "perceptual_weights")),
    ],
)
def test_whatever_names_a_file_or_folder_may_be_in_the_home_folder(monkeypatch, part, settings, key):
    monkeypatch.setenv("HOME", "/home/me")
    found = experiment(**{part: settings}).model_dump(mode="json")[part]
    for step in filter(None, key.split(".")):
        found = found[int(step) if step.isdecimal() else step]
    assert found == "/home/me/x"
