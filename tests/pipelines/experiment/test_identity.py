"""What decides an outcome: known by content alone, the same for ever, and found out once per command.

`identities.json` is what earlier versions wrote into their runs. A run that differs from it is refused as "made with
other settings", so a change here costs every user days of training: a new setting must leave its default out.
"""

import json
from pathlib import Path

import pytest

from pipelines.experiment.experiment import Experiment
from pipelines.experiment.identity import report_inputs, segmenter_inputs, translator_inputs
from pipelines.experiment.workspace import Workspace

KEPT = Path(__file__).with_name("identities.json")
FRAMES = {
    "game/rgb": ("0.png", "1.png", "2.png"),
    "game/semantic": ("0.png", "2.png"),
    "camera/leftImg8bit/train/bonn": tuple(f"bonn_{i:06}_000019_leftImg8bit.png" for i in range(4)),
    "camera/gtFine/train/bonn": tuple(f"bonn_{i:06}_000019_gtFine_labelIds.png" for i in range(3)),
    "camera/leftImg8bit/val/ulm": ("ulm_000000_000019_leftImg8bit.png",),
    "camera/gtFine/val/ulm": ("ulm_000000_000019_gtFine_labelIds.png",),
}
SETTINGS = {
    "name": "kept",
    "source": [{"reader": "carla", "name": "game", "root": "game", "version": "0.9.14"}],
    "target": [{"reader": "cityscapes", "name": "camera", "root": "camera", "split": "train"}],
    "validation": [{"reader": "cityscapes", "name": "camera_val", "root": "camera", "split": "val"}],
    "labelled_target": 2,
}
GUIDED = {"task_weight": 0.5, "label_weight": 1.0}
EXPERIMENTS = {
    "plain": {"compare": {"seeds": [3, 4], "one_translator": True}},
    "cut": {"translator": {"method": "cut"}, "translation": {"height": 64}},
    "pix2pixhd": {"translator": {"method": "pix2pixhd"}},
    "guided by the few": {"translator": {"guidance": GUIDED | {"expert": "few_labels"}}},
    "guided by the translated": {"translator": {"initial": "unguided", "guidance": GUIDED | {"expert": "translated"}}},
    "mixed": {
        "segmenter": {
            "shares": {"translated": 0.5, "source": 0.25, "target": 0.25},
            "style_from_target": 0.5,
            "weigh_by_consistency": True,
            "least_label_consistency": 0.2,
            "encoder_weights": "torchvision",
            "network": "deeplabv2_resnet101",
        }
    },
}


@pytest.fixture
def frames(tmp_path):
    """A data folder whose files hold their own names: to know a frame, nobody looks into its picture."""
    for folder, names in FRAMES.items():
        (tmp_path / folder).mkdir(parents=True)
        for name in names:
            (tmp_path / folder / name).write_text(f"{folder}/{name}")
    return tmp_path


def as_kept(inputs):
    """As JSON in a run's folder, its keys in order."""
    return json.dumps(inputs, sort_keys=True)


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_runs_made_before_are_known_again(frames, name):
    kept = json.loads(KEPT.read_text())
    workspace = Workspace(Experiment.model_validate(SETTINGS | EXPERIMENTS[name]), frames, frames / "run").by_name()
    seed = workspace.experiment.compare.seeds[-1]
    assert as_kept(segmenter_inputs(workspace, seed, "translated")) == as_kept(kept[name])


def test_reports_and_few_labels_made_before_are_known_again(frames):
    kept = json.loads(KEPT.read_text())
    workspace = Workspace(Experiment.model_validate(SETTINGS | EXPERIMENTS["plain"]), frames, frames / "run").by_name()
    assert as_kept(segmenter_inputs(workspace, 4, "few_labels")) == as_kept(kept["few labels"])
    assert as_kept(report_inputs(workspace)) == as_kept(kept["report"])


# --- what stages depend on ------------------------------------------------------------------------------------------


def changed_inputs(make, *overrides):
    """The stages whose inputs an override changes, with seed 0."""
    before, after = make(), make(*overrides)
    parts = {"translator": lambda workspace: translator_inputs(workspace, 0)}
    for arm in ("source_only", "translated", "oracle"):
        parts[arm] = lambda workspace, arm=arm: segmenter_inputs(workspace, 0, arm)
    parts["report"] = report_inputs
    return [name for name, inputs in parts.items() if inputs(before) != inputs(after)]


ARMS = ["source_only", "translated", "oracle"]


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("translator.cycle_weight=5.0", ["translator", "translated", "report"]),
        ("translation.height=16", ["translated", "report"]),
        ("segmenter.learning_rate=0.5", [*ARMS, "report"]),
        ("source.0.frames=4", ["translator", "source_only", "translated", "report"]),
        ("target.0.frames=3", ["translator", "translated", "oracle", "report"]),
        ("validation.0.frames=3", ["report"]),
        ("name=other", []),
    ],
)
def test_a_setting_changes_the_inputs_of_the_stages_that_it_reaches(make_workspace, override, expected):
    assert changed_inputs(make_workspace, override) == expected


def test_shares_of_the_translated_net_do_not_reach_the_other_arms(make_workspace):
    overrides = ("segmenter.shares.translated=0.5", "segmenter.shares.source=0.5")
    assert changed_inputs(make_workspace, *overrides) == ["translated", "report"]


def test_seeds_and_arms_have_inputs_of_their_own(make_workspace):
    inputs = [segmenter_inputs(make_workspace(), seed, arm) for seed in (0, 1) for arm in ARMS]
    assert len({json.dumps(one, sort_keys=True) for one in inputs}) == 6
