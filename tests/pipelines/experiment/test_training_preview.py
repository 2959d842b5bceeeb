"""A dry run of training: what is finished, begun and missing, what is refused; nothing is written."""

import pytest

from pipelines.errors import CheckpointError, NoInputsError, UserError
from pipelines.experiment.config import read_variants
from pipelines.experiment.training_preview import LAST_LINE, preview_training, preview_variants
from pipelines.experiment.variants import open_variants
from pipelines.experiment.workspace import Workspace

SETS = """
name = "x"
[[source]]
name = "game"
reader = "toyworld"
renderer = "game"
frames = 40
[[target]]
TARGET
[[validation]]
name = "camera"
reader = "toyworld"
renderer = "camera"
frames = 6
[segmenter]
shares = { translated = 0.0, source = 1.0 }
network = "lraspp"
batch = 4
crop = [64, 32]
steps = 30
warmup_steps = 5
"""
PHOTOS = 'name = "photos"\nreader = "folder"\nroot = "photos"'
CAMERA = 'name = "camera"\nreader = "toyworld"\nrenderer = "camera"\nframes = 8'
DRIVE = 'name = "drive"\nreader = "camvid"\nroot = "drive"'
STEP = "lraspp, 30 steps, batch 4 of 64x32"


@pytest.fixture
def experiment(tmp_path):
    """A function: what stands below `SETS` in a config, and its target (a photo without label) -> its variants."""
    (tmp_path / "data" / "photos").mkdir(parents=True)
    (tmp_path / "data" / "photos" / "a.png").touch()

    def read(more='[[variant]]\nname = "plain"\n', target=PHOTOS):
        (tmp_path / "x.toml").write_text(SETS.replace("TARGET", target) + more)
        rows = read_variants(tmp_path / "x.toml")
        of_all = next(iter(rows.values()))[1]
        return open_variants(Workspace(of_all, tmp_path / "data", tmp_path / "run"), rows)

    return read


def test_an_arm_that_is_missing_begun_and_finished(experiment, tmp_path):
    base = experiment().base
    first, *_ = lines = preview_training(base, 3, "source_only")
    assert first == f"{'source':<16}  game: 40 frames, drawn when needed" and len(lines) == 4
    assert lines[1] == f"{'target':<16}  photos: 1 frames, 0 with a label map"
    assert lines[3] == f"{'to be trained':<16}  source_only, seed 3: {STEP}, from labelled source frames"
    assert not (tmp_path / "run").exists()

    for checkpoint in ("step-00000010", "step-00000020"):
        (base.segmenter(3, "source_only") / "checkpoints" / checkpoint).mkdir(parents=True)
    assert preview_training(base, 3, "source_only")[3].startswith(f"{'at step 20':<16}  source_only")
    (base.segmenter(3, "source_only") / "final.json").touch()
    assert preview_training(base, 3, "source_only")[3].startswith(f"{'finished':<16}  source_only")


def test_an_arm_comes_after_those_that_it_learns_from(experiment):
    base = experiment().base
    learns = {"adaptation": {"method": "distillation"}, "teachers": ("source_only",), "initial": "source_only"}
    segmenter = type(base.experiment.segmenter)(**(base.experiment.segmenter.model_dump() | learns))
    its = base.beside(base.experiment.model_copy(update={"segmenter": segmenter}), base.run)
    _, _, _, teacher, learner = preview_training(its, 0, "translated")
    assert "source_only, seed 0" in teacher
    assert learner.endswith("from labelled source frames, 1 target frames; after source_only")
    assert "lraspp by Distillation, 30 steps" in learner


def test_labels_weights_and_teachers_that_are_not_there_are_refused(experiment, tmp_path):
    base = experiment().base
    with pytest.raises(NoInputsError, match="no target frame has a label map"):
        preview_training(base, 0, "oracle")

    def with_settings(**changed):
        segmenter = base.experiment.segmenter.model_copy(update=changed)
        return base.beside(base.experiment.model_copy(update={"segmenter": segmenter}), base.run)

    with pytest.raises(UserError, match=r"nowhere\.pth does not exist; give a file of weights"):
        preview_training(with_settings(encoder_weights=str(tmp_path / "nowhere.pth")), 0, "source_only")
    with pytest.raises(CheckpointError, match="nowhere does not exist"):
        preview_training(with_settings(initial=str(tmp_path / "nowhere")), 0, "translated")


VARIANTS = """
[[variant]]
name = "once"
settings = { "segmenter.adaptation" = { method = "minent" } }
[[variant]]
name = "twice"
settings = { "segmenter.initial" = "once", "segmenter.adaptation" = { method = "maxsquare" } }
[[variant]]
name = "both"
average = ["once", "twice"]
[[variant]]
name = "through_cut"
settings = { "translator.method" = "cut", "segmenter.shares" = { translated = 1.0 } }
"""


def test_variants_in_their_order_each_once(experiment, tmp_path):
    lines = preview_variants(experiment(VARIANTS, CAMERA))[3:]
    assert [line[:16].strip() for line in lines[:-1]] == [
        *["to be trained"] * 4,
        "nothing to train",
        "stage one",
        "to be trained",
    ]
    names = [line[18:].split(",")[0] for line in lines[:-1]]
    assert names == ["source_only", "oracle", "once", "twice", "both", "through_cut", "through_cut"]
    learner = "lraspp by MaxSquare, 30 steps, batch 4 of 64x32"
    assert lines[3].endswith(f"{learner}, from labelled source frames, target frames; after once")
    assert "the mean of once, twice" in lines[4] and ": cut, " in lines[5]
    assert lines[-1] == LAST_LINE and not (tmp_path / "run").exists()


def test_more_labels_than_will_be_drawn_are_refused_before_they_are(experiment, tmp_path):
    """Of 8 frames every third one is used: 3 of them, and all have labels. There is no more to be known by drawing."""
    budgets = '[[variant]]\nname = "few"\nlabels = [{}, "all"]\n'
    every_third = f"{CAMERA}\nevery = 3"
    lines = preview_variants(experiment(budgets.format(3), every_third))
    assert lines[1] == f"{'target':<16}  camera: 3 frames, drawn when needed"
    assert any("few_labels_3, seed 0" in line for line in lines)
    with pytest.raises(UserError, match=r"^labelled_target is 4, but only 3 target frames have a label map$"):
        preview_variants(experiment(budgets.format(4), every_third))
    for folder in ("train", "trainannot"):
        (tmp_path / "data/drive" / folder).mkdir(parents=True)
        (tmp_path / "data/drive" / folder / "a.png").touch()
    with pytest.raises(UserError, match=r"^labelled_target is 5, but only 4 "):
        preview_variants(experiment(budgets.format(5), f"{every_third}\n[[target]]\n{DRIVE}"))


def test_a_list_of_labelled_frames_must_be_there_though_the_frames_are_still_to_be_drawn(experiment, tmp_path):
    listed = experiment(target=CAMERA).base.experiment.model_copy(update={"labelled_target": "few.txt"})
    workspace = Workspace(listed, tmp_path / "data", tmp_path / "run")
    with pytest.raises(UserError, match=r"labelled_target: .*few\.txt cannot be read as a list of frame names"):
        preview_training(workspace, 0, "few_labels")
    (tmp_path / "data/few.txt").write_text("camera/0\n")
    assert any("few_labels, seed 0" in line for line in preview_training(workspace, 0, "few_labels"))
