"""A dry run of training: what is finished, begun and missing, what is refused; nothing is written."""

from pathlib import Path

import pytest

from pipelines.data.disk.files import sha256_of
from pipelines.data.disk.json_files import write_json
from pipelines.engine.checkpoint_files import FILES, FORMAT, checkpoint_hash
from pipelines.errors import CheckpointError, NoInputsError, StorageError, UserError
from pipelines.experiment.config import read_experiment, read_variants
from pipelines.experiment.identity import known_translator_settings, segmenter_settings
from pipelines.experiment.segmenters import SegmenterSettings
from pipelines.experiment.teachers import teachers_checkpoint
from pipelines.experiment.training_preview import (
    preview,
    trainings_of_arm,
    trainings_of_comparison,
    trainings_of_distillation,
    trainings_of_study,
    trainings_of_translator,
    trainings_of_variants,
)
from pipelines.experiment.variants import open_variants
from pipelines.experiment.workspace import Workspace

TOYWORLD = Path(__file__).parents[3] / "pipelines/configs/toyworld.toml"
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


def preview_training(workspace, seed, arm):
    return preview(workspace, trainings_of_arm(workspace, seed, arm), scored=False)


def preview_translator(workspace, seed):
    return preview(workspace, trainings_of_translator(workspace, seed), scored=False)


def preview_comparison(workspace):
    return preview(workspace, trainings_of_comparison(workspace))


def preview_distillation(workspace, seed, segmenters, real_to_sim):
    trainings = trainings_of_distillation(workspace, seed, segmenters, real_to_sim)
    return preview(workspace, trainings, scored=segmenters)


def preview_variants(variants):
    return preview(variants.base, trainings_of_variants(variants))


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
    assert lines[3] == f"{'to be trained':<16}  source_only, seed 3: {STEP}, from 40 labelled source frames"
    assert not (tmp_path / "run").exists()

    for checkpoint in ("step-00000010", "step-00000020"):
        (base.segmenter(3, "source_only") / "checkpoints" / checkpoint).mkdir(parents=True)
    assert preview_training(base, 3, "source_only")[3].startswith(f"{'at step 20':<16}  source_only")
    (base.segmenter(3, "source_only") / "final.json").touch()
    assert preview_training(base, 3, "source_only")[3].startswith(f"{'finished':<16}  source_only")


def test_a_run_of_other_settings_is_not_called_finished(experiment):
    """The command would refuse it."""
    base = experiment().base
    run, segmenter = base.segmenter(3, "source_only"), base.experiment.segmenter
    begin(run, settings=segmenter_settings(base, "source_only"), frames={})
    assert preview_training(base, 3, "source_only")[3].startswith(f"{'finished':<16}  source_only")

    longer = base.experiment.model_copy(update={"segmenter": segmenter.model_copy(update={"steps": 31, "batch": 5})})
    line = preview_training(base.beside(longer, base.run), 3, "source_only")[3]
    assert line.startswith(f"{'other settings':<16}  source_only, seed 3: lraspp, 31 steps")
    assert line.endswith(
        f"{run} was begun otherwise (batch, steps): the command refuses it, and sets it aside with --restart"
    )


def checkpoint(folder, stage, **settings):
    """One of which only the settings are looked at."""
    folder.mkdir(parents=True)
    about = {"stage": stage, "settings": settings}
    write_json(folder / "state.json", {"format": FORMAT, "step": 0, "about": about, "optimizers": {}})
    for name in ("method.safetensors", "optimizers.safetensors"):
        (folder / name).touch()
    write_json(folder / "manifest.json", {name: sha256_of(folder / name) for name in FILES})
    return folder


def begin(run, **inputs):
    """A finished run that was begun with these inputs."""
    run.mkdir(parents=True)
    (run / "final.json").touch()
    write_json(run / "config.json", inputs)


def test_what_a_run_names_of_elsewhere_is_known_by_its_content(experiment, tmp_path):
    """...wherever it lies, as by the command itself: a checkpoint that was trained on is another."""

    def starting(at, **more):
        chosen = {"adaptation": {"method": "distillation"}, "teachers": (str(at),), "initial": str(at), **more}
        segmenter = SegmenterSettings(**(experiment().base.experiment.segmenter.model_dump() | chosen))
        base = experiment().base
        return base.beside(base.experiment.model_copy(update={"segmenter": segmenter}), base.run)

    first, moved, other = (
        checkpoint(tmp_path / name, "segmenter", network="lraspp", trained=trained)
        for name, trained in (("first", 1), ("moved", 1), ("other", 2))
    )
    its = starting(first)
    known = checkpoint_hash(first)
    begin(
        its.segmenter(3, "translated"),
        settings=segmenter_settings(its, "translated"),
        frames={"initial": known, "teachers": [known]},
    )
    for at in (first, moved):
        assert preview_training(starting(at), 3, "translated")[3].startswith(f"{'finished':<16}  translated, seed 3")
    line = preview_training(starting(other), 3, "translated")[3]
    assert line.startswith("other settings") and "was begun otherwise (initial, teachers): the command" in line
    line = preview_training(starting(first, initial=None), 3, "translated")[3]
    assert line.startswith("other settings") and "was begun otherwise (initial): the command refuses it" in line


def test_what_a_translator_names_of_elsewhere_is_known_by_its_content(toyworld, tmp_path):
    first, moved, other = (
        checkpoint(tmp_path / name, "translator", method="cut", trained=trained)
        for name, trained in (("first", 1), ("moved", 1), ("other", 2))
    )
    its = toyworld(f"translator.initial={first}")
    begin(its.translator(4), settings=known_translator_settings(its, 4))
    for at in (first, moved):
        assert preview_translator(toyworld(f"translator.initial={at}"), 4)[3].startswith("finished")
    for changed in (f"translator.initial={other}", "translator.batch=1"):
        line = preview_translator(toyworld(changed), 4)[3]
        assert line.startswith("other settings") and "was begun otherwise (initial): the command refuses it" in line
    with pytest.raises(CheckpointError, match=r"^translator\.initial: checkpoint .*gone does not exist; give a run"):
        preview_translator(toyworld(f"translator.initial={tmp_path / 'gone'}"), 4)


def test_an_arm_comes_after_those_that_it_learns_from(experiment):
    base = experiment().base
    learns = {"adaptation": {"method": "distillation"}, "teachers": ("source_only",), "initial": "source_only"}
    segmenter = type(base.experiment.segmenter)(**(base.experiment.segmenter.model_dump() | learns))
    its = base.beside(base.experiment.model_copy(update={"segmenter": segmenter}), base.run)
    _, _, _, teacher, learner = preview_training(its, 0, "translated")
    assert "source_only, seed 0" in teacher
    assert learner.endswith("from 40 labelled source frames, 1 target frames; after source_only")
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
    with pytest.raises(UserError, match=r"^segmenter\.initial is '.*nowhere'; expected one of source_only, "):
        preview_training(with_settings(initial=str(tmp_path / "nowhere")), 0, "translated")


@pytest.fixture
def toyworld(tmp_path):
    """A function: changes of the experiment on toy world -> its workspace, in an empty folder."""

    def read(*changes):
        experiment = read_experiment(TOYWORLD, ("compare.seeds=[4]", "variant=[]", *changes))
        return Workspace(experiment, tmp_path, tmp_path / "run")

    return read


def told(lines):
    """Whose training each line is of, after the three of the data sets."""
    return [line[18:].split(":")[0].removesuffix(", seed 4") for line in lines[3:]]


def test_a_comparison_in_the_order_of_its_trainings(toyworld, tmp_path):
    assert told(preview_comparison(toyworld())) == ["source_only", "oracle", "translator", "translated"]
    alone = toyworld("segmenter.shares={ translated = 0.0, source = 1.0 }")
    assert told(preview_comparison(alone)) == ["source_only", "oracle", "translated"]
    assert not (tmp_path / "run").exists()


def test_a_comparison_without_a_label_to_score_by_is_refused(toyworld, tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos/a.png").touch()
    photos = 'validation=[{ name = "photos", reader = "folder", root = "photos" }]'
    with pytest.raises(NoInputsError, match="no validation frame has a label map; there is nothing to evaluate on"):
        preview_comparison(toyworld(photos))
    on_test = toyworld(photos.replace("validation", "test")).on_test()
    with pytest.raises(NoInputsError, match="no validation frame has a label map"):
        preview_comparison(on_test)


def test_a_set_that_the_command_would_not_read_may_be_missing(toyworld, tmp_path):
    """...and is told: the command itself would not notice."""
    missing = '{}=[{{ name = "later", reader = "folder", root = "later" }}]'.format
    lines = preview_comparison(toyworld(missing("test")))
    assert lines[3].startswith(f"{'test':<16}  later: not needed for this, and cannot be read: ") and len(lines) == 8
    assert "later: not needed for this" in preview_training(toyworld(missing("validation")), 4, "oracle")[2]
    for needed in (toyworld(missing("test")).on_test(), toyworld(missing("validation")), toyworld(missing("target"))):
        with pytest.raises(UserError, match=str(tmp_path / "later")):
            preview_comparison(needed)


def test_what_guides_a_translator_comes_before_it(toyworld, tmp_path):
    guided = toyworld('translator.guidance={ expert = "translated", label_weight = 1.0 }')
    lines = [line[18:].split(",")[0] for line in preview_translator(guided, 4)[3:]]
    assert lines == ["unguided translator", "translated", "translator"]
    from_unguided = toyworld(
        'translator.guidance={ expert = "oracle", label_weight = 1.0 }', 'translator.initial="unguided"'
    )
    lines = [line[18:].split(",")[0] for line in preview_translator(from_unguided, 4)[3:]]
    assert lines == ["unguided translator", "oracle", "translator"]
    elsewhere = toyworld(f'translator.guidance={{ expert = "{tmp_path}", label_weight = 1.0 }}')
    with pytest.raises(CheckpointError, match=str(tmp_path)):
        preview_translator(elsewhere, 4)


def test_what_a_translator_names_from_elsewhere_must_be_there(toyworld):
    student = toyworld("student.encoder=nowhere")
    with pytest.raises(UserError, match=r"^encoder is 'nowhere'; expected one of"):
        preview_distillation(student, 4, False, True)
    weights = r"^translator\.{}_weights: nowhere does not exist; name a file of weights that does"
    student = toyworld("student.perceptual_weight=1", "student.perceptual_weights=nowhere")
    with pytest.raises(UserError, match=weights.format("perceptual")):
        preview_distillation(student, 4, False, False)
    adain = toyworld("translator={ method = 'adain', encoder_weights = 'nowhere' }")
    for looked_at in (preview_comparison, lambda its: preview_translator(its, 4)):
        with pytest.raises(UserError, match=weights.format("encoder")):
            looked_at(adain)
    assert told(preview_distillation(toyworld("student.perceptual_weight=1"), 4, False, False))


def test_a_students_teacher_must_be_there(toyworld, tmp_path):
    """...a translator, or a folder of frames: of each source frame, where their names are known by now."""

    def student(teacher, *changes):
        return toyworld(
            f"translator={{ method = 'student', encoder = '', teacher = '{tmp_path / teacher}' }}", *changes
        )

    for looked_at in (preview_comparison, lambda its: preview_translator(its, 4)):
        with pytest.raises(
            UserError, match=r"^translator\.teacher: .*nowhere is not there; expected a translator or a f"
        ):
            looked_at(student("nowhere"))
    for place in ("photos/a.png", "frames/b.png"):
        (tmp_path / place).parent.mkdir()
        (tmp_path / place).touch()
    assert told(preview_comparison(student("frames"))) == ["source_only", "oracle", "translator", "translated"]
    with pytest.raises(UserError, match=r"^the student's feature_weight needs the teacher's network"):
        preview_comparison(student("frames", "translator.feature_weight=1"))
    photos = 'source=[{ name = "photos", reader = "folder", root = "photos" }]'
    with pytest.raises(
        UserError, match=r"frames: no translation of source frame 'photos/a'; 1 of 1 frames are missing"
    ):
        preview_translator(student("frames", photos), 4)


def test_a_teacher_must_go_the_way_and_have_the_features_that_are_asked_for(toyworld, tmp_path):
    """A student's own settings do not tell: the teacher's do, wherever it is, and hours before its network is built."""
    unet = checkpoint(tmp_path / "unet", "translator", method="cyclegan", generator="unet128")
    layouts = checkpoint(tmp_path / "layouts", "translator", method="pix2pixhd", generator="global")
    of = "translator={{ method = 'student', encoder = '', teacher = '{}', {} }}"
    back, features = "teacher_direction = 'target_to_source'", "feature_weight = 1"
    for settings, said in (
        (of.format(unet, features), r"^translator\.teacher: .*unet: its generator is unet128, which has no encoder"),
        (of.format(layouts, features), r"^translator\.teacher: .*layouts: its generator is global, which has no"),
        (
            of.format(layouts, back),
            r"^translator\.teacher: .*layouts: it goes source_to_target, and teach",
        ),
        (
            of.format(tmp_path, back),
            r"^translator\.teacher_direction is target_to_source, and .* is a folder of",
        ),
    ):
        its = toyworld(settings)
        for refused in (lambda one: preview_translator(one, 4), teachers_checkpoint):
            with pytest.raises(UserError, match=said):
                refused(its)
    assert told(preview_translator(toyworld(of.format(unet, back)), 4)) == ["translator"]
    own = toyworld("translator={ method = 'cyclegan', generator = 'unet128', crop = 128 }", "student.feature_weight=1")
    with pytest.raises(UserError, match=r"^the teacher of \[student\] is the experiment's translator: its gener"):
        preview_distillation(own, 4, False, False)
    assert told(preview_comparison(own)), "which trains no student"


def test_labels_that_a_translator_learns_from_must_be_there(toyworld, tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos/a.png").touch()
    photos = 'target=[{ name = "photos", reader = "folder", root = "photos" }]'
    with pytest.raises(NoInputsError, match="no target frame has a label map; the translator needs some"):
        preview_translator(toyworld("translator={ method = 'pix2pixhd' }", photos), 4)
    with pytest.raises(UserError, match=r"^labelled_target is 900, but only 160 target frames have a label map$"):
        preview_translator(toyworld("translator={ method = 'pix2pixhd' }", "labelled_target=900"), 4)


def test_every_network_of_a_study_on_every_kind_of_frames(toyworld):
    changes = 'study={ networks = ["lraspp", "stdc1"], augmentation = { blur = 0.1 } }'
    base = toyworld(changes)
    lines = preview(base, trainings_of_study(base, base.experiment))
    assert told(lines) == ["oracle", "source_only", "augmented"] * 2
    assert [": lraspp, " in line for line in lines[3:]] == [True] * 3 + [False] * 3


def test_a_teacher_a_student_and_who_learns_from_their_frames(toyworld):
    its = toyworld()
    assert told(preview_distillation(its, 4, False, False)) == ["translator", "source_only", "student"]
    assert told(preview_distillation(its, 4, True, True)) == [
        *("translator", "source_only", "student"),
        *("oracle", "translated by the translator", "translated by the student", "student of the way back"),
    ]
    experiment = its.experiment.model_copy(update={"student": None})
    with pytest.raises(UserError, match=r"has no \[student\] to learn from its translator"):
        preview_distillation(its.beside(experiment, its.run), 4, False, False)


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
    assert [line[:16].strip() for line in lines] == [
        *["to be trained"] * 4,
        "nothing to train",
        "stage one",
        "to be trained",
    ]
    names = [line[18:].split(",")[0] for line in lines]
    assert names == ["source_only", "oracle", "once", "twice", "both", "through_cut", "through_cut"]
    learner = "lraspp by MaxSquare, 30 steps, batch 4 of 64x32"
    assert lines[3].endswith(f"{learner}, from 40 labelled source frames, 8 target frames; after once")
    assert "the mean of once, twice" in lines[4] and ": cut, " in lines[5]
    assert lines[6].endswith("from 40 translated frames")
    assert not (tmp_path / "run").exists()


def test_more_labels_than_will_be_drawn_are_refused_before_they_are(experiment, tmp_path):
    """Of 8 frames every third one is used: 3 of them, and all have labels. There is no more to be known by drawing."""
    budgets = """[[variant]]\nname = "few"\nlabels = [{}, "all"]
        settings = {{ "segmenter.initial" = "few_labels" }}\n"""
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


@pytest.mark.parametrize(
    ("wanted", "said"), [(None, "9 labelled"), (2, "2 labelled"), (0.5, "4 labelled"), ("few.txt", "labelled")]
)
def test_frames_of_several_sets_are_counted_though_some_are_still_to_be_drawn(experiment, tmp_path, wanted, said):
    """40 of the game and one of a drive; 8 of the camera, one of a drive and a photo without a label map."""
    for folder in ("train", "trainannot"):
        (tmp_path / "data/drive" / folder).mkdir(parents=True)
        (tmp_path / "data/drive" / folder / "a.png").touch()
    (tmp_path / "data/few.txt").write_text("camera/0\n")
    target = f"{CAMERA}\n[[target]]\n{DRIVE}\n[[target]]\n{PHOTOS}\n[[source]]\n{DRIVE}"
    its = experiment(target=target).base.experiment.model_copy(update={"labelled_target": wanted})
    workspace = Workspace(its, tmp_path / "data", tmp_path / "run")
    assert preview_training(workspace, 0, "source_only")[-1].endswith("from 41 labelled source frames")
    assert preview_training(workspace, 0, "oracle")[-1].endswith("from 9 labelled target frames")
    assert preview_training(workspace, 0, "few_labels")[-1].endswith(f"from {said} target frames")
    adaptation = type(its.segmenter)(**(its.segmenter.model_dump() | {"adaptation": {"method": "fda"}}))
    adapted = workspace.beside(its.model_copy(update={"segmenter": adaptation}), workspace.run)
    assert preview_training(adapted, 0, "translated")[-1].endswith("41 labelled source frames, 10 target frames")
    assert not (tmp_path / "run").exists()


def test_a_run_folder_that_could_not_be_made_is_refused(experiment, tmp_path):
    (tmp_path / "notes.txt").touch()
    base = experiment().base
    elsewhere = Workspace(base.experiment, base.data, tmp_path / "notes.txt/run")
    with pytest.raises(StorageError, match=r"notes\.txt/run: cannot write: Not a directory"):
        preview_training(elsewhere, 0, "source_only")


def test_a_list_of_labelled_frames_must_be_there_though_the_frames_are_still_to_be_drawn(experiment, tmp_path):
    listed = experiment(target=CAMERA).base.experiment.model_copy(update={"labelled_target": "few.txt"})
    workspace = Workspace(listed, tmp_path / "data", tmp_path / "run")
    with pytest.raises(UserError, match=r"labelled_target: .*few\.txt cannot be read as a list of frame names"):
        preview_training(workspace, 0, "few_labels")
    (tmp_path / "data/few.txt").write_text("camera/0\n")
    assert any("few_labels, seed 0" in line for line in preview_training(workspace, 0, "few_labels"))


@pytest.mark.parametrize(
    ("settings", "error"),
    [
        ('"segmenter.encoder_weights" = "nowhere"', r"^segmenter\.encoder_weights: nowhere does not exist"),
        (
            '"translator.method" = "adain", "translator.encoder_weights" = "nowhere"',
            r"^translator\.encoder_weights: now",
        ),
        (
            '"translator.method" = "student", "translator.teacher" = "nowhere"',
            r"^translator\.teacher: nowhere is not th",
        ),
        ('"translator.initial" = "nowhere"', r"^translator\.initial: checkpoint nowhere does not exist"),
        (
            '"translator.guidance" = { expert = "nowhere", label_weight = 1.0 }',
            r"^translator\.guidance\.expert is 'nowh",
        ),
    ],
)
def test_what_a_variant_names_from_elsewhere_must_be_there(experiment, settings, error):
    row = '[[variant]]\nname = "{}"\nsettings = {{ {}, "segmenter.shares" = {{ translated = 1.0 }} }}\n'
    with pytest.raises(UserError, match=error):
        preview_variants(experiment(row.format("own", settings), CAMERA))


def test_an_earlier_variant_is_a_teacher_that_is_still_to_be_made(experiment):
    row = '[[variant]]\nname = "{}"\nsettings = {{ {}, "segmenter.shares" = {{ translated = 1.0 }} }}\n'
    cut = row.format("cut", '"translator.method" = "cut"')
    learns = row.format("learns", '"translator.method" = "student", "translator.teacher" = "cut"')
    assert any("learns, seed 0: student" in line for line in preview_variants(experiment(cut + learns, CAMERA)))
