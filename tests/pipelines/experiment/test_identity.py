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
    workspace = Workspace(Experiment.model_validate(SETTINGS | EXPERIMENTS[name]), frames, frames / "run").by_name
    seed = workspace.experiment.compare.seeds[-1]
    assert as_kept(segmenter_inputs(workspace, seed, "translated")) == as_kept(kept[name])


def test_reports_and_few_labels_made_before_are_known_again(frames):
    kept = json.loads(KEPT.read_text())
    workspace = Workspace(Experiment.model_validate(SETTINGS | EXPERIMENTS["plain"]), frames, frames / "run").by_name
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


def test_frames_that_a_translator_of_label_maps_translates_reach_who_learns_from_them(make_workspace):
    """It has learnt from none of them, so its own inputs do not tell."""
    layouts = 'translator={method = "pix2pixhd", perceptual_weight = 0.0}'

    def make(*overrides):
        return make_workspace(layouts, *overrides)

    assert changed_inputs(make, "source.0.frames=4") == ["source_only", "translated", "report"]


def test_seeds_and_arms_have_inputs_of_their_own(make_workspace):
    inputs = [segmenter_inputs(make_workspace(), seed, arm) for seed in (0, 1) for arm in ARMS]
    assert len({json.dumps(one, sort_keys=True) for one in inputs}) == 6


# --- weights that others have trained -------------------------------------------------------------------------------

ADAIN = 'translator={method = "adain", encoder_weights = "%s"}'
STUDENT = 'translator={method = "student", teacher = "%s", encoder = "", perceptual_weight = 1.0, ' + (
    'perceptual_weights = "%s"}'
)
PIX2PIXHD = 'translator={method = "pix2pixhd", perceptual_weights = "%s"}'


def settings_by(make_workspace, wording, file, run):
    """What the settings of a translator with such a file of weights are known by."""
    return translator_inputs(make_workspace(wording % file, run=run), 0)["settings"]


@pytest.mark.parametrize(
    ("wording", "key"), [(ADAIN, "encoder_weights"), (PIX2PIXHD, "perceptual_weights")], ids=["adain", "pix2pixhd"]
)
def test_files_of_weights_are_known_by_their_content(make_workspace, tmp_path, wording, key):
    one, same, other = (tmp_path / name for name in ("one.pth", "same.pth", "other.pth"))
    for file, content in ((one, b"a"), (same, b"a"), (other, b"b")):
        file.write_bytes(content)
    known = [settings_by(make_workspace, wording, file, tmp_path / "run") for file in (one, same, other)]
    assert known[0] == known[1] != known[2]
    assert known[0][key] == "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb"  # sha256 of "a"
    one.write_bytes(b"c")
    assert settings_by(make_workspace, wording, one, tmp_path / "run") not in known


def test_a_student_knows_its_judges_weights_by_their_content(make_workspace, tiny_run, tmp_path):
    (tmp_path / "vgg.pth").write_bytes(b"a")
    wording = STUDENT.replace("%s", str(tiny_run / "seed-0/translator"), 1)
    known = settings_by(make_workspace, wording, tmp_path / "vgg.pth", tmp_path / "run")
    assert known["perceptual_weights"].startswith("ca978112")


def test_a_run_that_was_known_by_the_path_of_its_weights_is_known_again(make_workspace, tmp_path):
    file, run = tmp_path / "own.pth", tmp_path / "run"
    file.write_bytes(b"a")
    workspace = make_workspace(ADAIN % file, run=run)
    workspace.translator(0).mkdir(parents=True)
    recorded = {"settings": {"encoder_weights": str(file)}}
    (workspace.translator(0) / "config.json").write_text(json.dumps(recorded))
    assert settings_by(make_workspace, ADAIN, file, run)["encoder_weights"] == str(file)
    (tmp_path / "moved.pth").write_bytes(b"a")
    assert settings_by(make_workspace, ADAIN, tmp_path / "moved.pth", run)["encoder_weights"].startswith("ca978112")


def test_so_is_one_whose_path_was_recorded_from_home(make_workspace, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "own.pth").write_bytes(b"a")
    folder = make_workspace(ADAIN % "~/own.pth", run=tmp_path / "run").translator(0)
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps({"settings": {"encoder_weights": "~/own.pth"}}))
    for path in ("~/own.pth", tmp_path / "own.pth"):
        assert settings_by(make_workspace, ADAIN, path, tmp_path / "run")["encoder_weights"] == "~/own.pth"


def test_a_trained_run_is_known_where_its_weights_are_gone(make_workspace, tmp_path):
    file, run = tmp_path / "own.pth", tmp_path / "run"
    file.write_bytes(b"a")
    workspace = make_workspace(ADAIN % file, run=run)
    before = translator_inputs(workspace, 0)
    workspace.translator(0).mkdir(parents=True)
    (workspace.translator(0) / "config.json").write_text(json.dumps(before))
    file.unlink()
    assert translator_inputs(workspace, 0) == before
