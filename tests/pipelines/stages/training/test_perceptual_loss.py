"""The judge of likeness: whose weights, what is said of it, and that a run goes on with the one that it began with."""

import hashlib
import json
import shutil
from contextlib import nullcontext
from types import SimpleNamespace

import pytest
import torch
import torchvision

from pipelines.engine.session import Session
from pipelines.errors import UserError
from pipelines.experiment.translators import Pix2pixHDSettings
from pipelines.stages.training.perceptual_loss import perceptual_loss, perceptual_loss_in_words, vgg_weights
from pipelines.stages.training.train_translator import train_translator
from pipelines.stages.training.training_run import note
from tests.pipelines.stages.translating.conftest import LAYOUTS


def test_the_last_words_on_a_missing_loss_are_said_once(make_workspace, cpu, no_cache, capsys, tmp_path):
    settings = make_workspace(*LAYOUTS).experiment.translator
    (tmp_path / "run").mkdir()
    for said in (1, 0):
        assert perceptual_loss(settings, tmp_path / "run") is None
        message = capsys.readouterr().err
        assert message.count("perceptual loss is off") == said
    assert perceptual_loss(settings.model_copy(update={"perceptual_weight": 0.0}), tmp_path / "none") is None


@pytest.mark.parametrize("there", [False, True])
def test_all_processes_must_find_the_same_weights(no_cache, tmp_path, there):
    """What each finds on its own machine is compared: a loss that one of them lacks would be averaged in silently."""
    no_cache.mkdir()
    if there:
        (no_cache / "vgg19-dcbb9e9d.pth").write_bytes(b"weights")
    (tmp_path / "run").mkdir()
    compared = []
    processes = SimpleNamespace(leads=False, refuse_difference=compared.append)
    with pytest.raises(UserError, match="holds no weights") if there else nullcontext():
        perceptual_loss(Pix2pixHDSettings(method="pix2pixhd"), tmp_path / "run", processes)
    assert compared == [["VGG-19", hashlib.sha256(b"weights").hexdigest() if there else None]]


def test_the_packaged_encoder_judges_where_it_is_asked_for(make_workspace, cpu, no_cache, capsys):
    """The run and its report say that this is not the published loss; a run that began so cannot go on with VGG-19."""
    workspace = make_workspace(*LAYOUTS, "translator.perceptual_weights=package")
    train_translator(workspace, 0, Session(cpu))
    told = "efficientnet_lite0 with ImageNet's weights instead of VGG-19, so this is not pix2pixHD's published loss"
    assert capsys.readouterr().err.count(f"perceptual loss: {told}\n") == 1
    run, settings = workspace.translator(0), workspace.experiment.translator
    assert json.loads((run / "notes.json").read_text())["perceptual_loss"] == "efficientnet_lite0"
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert rows[-1]["perceptual"] > 0
    assert perceptual_loss_in_words(settings, run) == f"Perceptual loss: {told}."
    with pytest.raises(UserError, match=r"begun with other files.*perceptual_loss"):
        perceptual_loss(settings.model_copy(update={"perceptual_weights": ""}), run)


def test_a_report_says_that_there_was_no_perceptual_loss(trained, tmp_path):
    settings, run = trained.experiment.translator, trained.translator(0)
    assert perceptual_loss_in_words(settings, run) == "No perceptual loss: VGG-19's weights were not there."
    assert perceptual_loss_in_words(settings.model_copy(update={"perceptual_weight": 0.0}), run) == ""
    note(tmp_path, "perceptual_loss", "0f3a")
    assert perceptual_loss_in_words(settings, tmp_path) == ""


def test_vgg_weights_come_from_the_file_or_the_cache(no_cache, tmp_path):
    settings = Pix2pixHDSettings(method="pix2pixhd")
    assert vgg_weights(settings) is None
    no_cache.mkdir()
    (no_cache / "vgg19-dcbb9e9d.pth").touch()
    assert vgg_weights(settings) == no_cache / "vgg19-dcbb9e9d.pth"
    assert torchvision.models.VGG19_Weights.IMAGENET1K_V1.url.endswith("/vgg19-dcbb9e9d.pth")
    named = settings.model_copy(update={"perceptual_weights": str(tmp_path / "own.pth")})
    with pytest.raises(UserError, match=r"own\.pth does not exist"):
        vgg_weights(named)
    (tmp_path / "own.pth").touch()
    assert vgg_weights(named) == tmp_path / "own.pth"


def test_vgg_weights_are_loaded_noted_and_not_exchanged(no_cache, tmp_path):
    with torch.device("meta"):
        shapes = torchvision.models.vgg19().features.state_dict()
    weights = {f"features.{key}": torch.zeros(()).expand(one.shape) for key, one in shapes.items()}
    path = tmp_path / "vgg.pth"
    torch.save(weights, path)  # zeros without storage: a small file
    settings = Pix2pixHDSettings(method="pix2pixhd", perceptual_weights=str(path))
    (tmp_path / "run").mkdir()
    loss = perceptual_loss(settings, tmp_path / "run")
    assert loss(torch.zeros(1, 3, 16, 16), torch.ones(1, 3, 16, 16)) == 0
    path.write_bytes(b"something else")
    with pytest.raises(UserError, match=r"begun with other files.*perceptual_loss"):
        perceptual_loss(settings, tmp_path / "run")
    shutil.rmtree(tmp_path / "run")
    (tmp_path / "run").mkdir()
    with pytest.raises(UserError, match=r"vgg\.pth holds no weights of VGG-19"):
        perceptual_loss(settings, tmp_path / "run")


def test_a_student_is_judged_by_the_packaged_encoder_where_it_asks_for_it(make_workspace, cpu, capsys):
    """The source's own frames stand for the teacher's; of pix2pixHD nothing is said."""
    teacher = make_workspace().source[0].frames[0].image.parent
    small = "steps = 2, crop = 32, height = 32, patch = 16, generator_channels = 2, discriminator_channels = 2"
    judged = "encoder = '', perceptual_weight = 0.5"
    student = make_workspace(f"translator={{ method = 'student', teacher = '{teacher}', {judged}, {small} }}")
    run = train_translator(student, 0, Session(cpu))
    said = "efficientnet_lite0 with ImageNet's weights"
    assert f"perceptual loss: {said}\n" in capsys.readouterr().err
    assert perceptual_loss_in_words(student.experiment.translator, run) == f"Perceptual loss: {said}."
    row = json.loads((run / "metrics.jsonl").read_text().splitlines()[-1])
    assert row["perceptual"] > 0
