"""Stage two's training: the three arms differ in their frames and in nothing else."""

import json
import math
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from pipelines.data.images import read_raw, write_image
from pipelines.data.sampling.batches import FramePool
from pipelines.engine.checkpoint_files import list_checkpoints
from pipelines.engine.session import Session
from pipelines.errors import ImageError, UserError
from pipelines.experiment.arms import COMPARED
from pipelines.experiment.config import read_experiment
from pipelines.experiment.identity import segmenter_inputs
from pipelines.experiment.trained import build_network, load_segmenter
from pipelines.experiment.workspace import Workspace
from pipelines.stages.training.segmenter_batches import labelled_batches
from pipelines.stages.training.train_segmenter import build_segmenter, class_weights, train_segmenter
from segment.networks import NETWORKS
from segment.normalisation import SyncedBatchNorm2d

FOLDERS = {"source_only": "source_only", "translated": "translated_net", "oracle": "oracle"}


@pytest.mark.parametrize("arm", COMPARED)
def test_the_run_folder_explains_itself(tiny_run, make_workspace, arm):
    run = tiny_run / "seed-0" / FOLDERS[arm]
    config = json.loads((run / "config.json").read_text())
    assert config == json.loads(json.dumps(segmenter_inputs(make_workspace(), 0, arm)))
    (row,) = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert row.keys() == {"step", "main", "auxiliary"} and row["step"] == 3
    assert sorted(path.name for path in (run / "previews").iterdir()) == ["step-00000002.jpg", "step-00000003.jpg"]
    assert [path.name for path in list_checkpoints(run / "checkpoints")] == ["step-00000003", "step-00000002"]
    assert json.loads((run / "final.json").read_text())["checkpoint"] == "checkpoints/step-00000003"


def test_initial_weights_follow_from_the_seed_alone_and_are_equal_across_arms(make_workspace, cpu):
    """All arms call `build_network(settings, seed)`; the shares, in which alone they differ, must not matter."""
    plain = make_workspace().experiment.segmenter
    mixed = make_workspace("segmenter.shares.translated=0.5", "segmenter.shares.source=0.5").experiment.segmenter
    first = build_network(plain, 0).state_dict()
    torch.rand(7)
    same, other = build_network(mixed, 0).state_dict(), build_network(plain, 1).state_dict()
    assert all(torch.equal(first[key], same[key]) for key in first)
    assert not all(torch.equal(first[key], other[key]) for key in first)


def test_every_arm_begins_with_the_same_checkpoint(make_workspace, cpu, copied_run):
    workspace = make_workspace("segmenter.steps=1", "segmenter.warmup_steps=0", run=copied_run)
    states = []
    for arm in COMPARED:
        shutil.rmtree(workspace.segmenter(0, arm))
        path = train_segmenter(workspace, 0, arm, Session(cpu))
        states.append(load_file(path / "checkpoints/step-00000000/method.safetensors"))
    assert states[0].keys() == states[1].keys() == states[2].keys()
    assert all(torch.equal(states[0][key], state[key]) for state in states for key in state)


def test_rare_classes_and_moving_average_by_setting(make_workspace, cpu):
    workspace = make_workspace("segmenter.rare_class_sampling=true", "segmenter.ema_decay=0.5", "segmenter.steps=2")
    path = train_segmenter(workspace, 0, "source_only", Session(cpu))
    network, settings, checkpoint = load_segmenter(path, cpu)
    assert checkpoint.name == "step-00000002" and settings.ema_decay == 0.5
    assert not network.training and network(torch.rand(1, 3, 32, 64)).shape == (1, 19, 32, 64)


def test_the_translated_arm_needs_translated_frames(make_workspace, cpu):
    with pytest.raises(UserError, match="translated"):
        train_segmenter(make_workspace(), 0, "translated", Session(cpu))


def test_a_teacher_that_is_not_there_is_told_before_what_else_it_builds_on_is_trained(make_workspace, session):
    learns = 'segmenter.adaptation={ method = "distillation" }', 'segmenter.teachers=["source_only", "nowhere"]'
    workspace = make_workspace(*learns, "segmenter.shares={ translated = 0.0, source = 1.0 }")
    with pytest.raises(UserError, match=r"^segmenter\.teachers is 'nowhere'; expected one of source"):
        train_segmenter(workspace, 0, "translated", session)
    assert not workspace.segmenter(0, "source_only").exists()


def test_a_method_that_does_not_fit_the_network_is_told_before_what_it_builds_on_is_trained(make_workspace, session):
    method = 'segmenter.adaptation={ method = "adaptsegnet", auxiliary_adversarial_weight = 0.1 }'
    learns = method, "segmenter.network=lraspp", "segmenter.initial=source_only"
    workspace = make_workspace(*learns, "segmenter.shares={ translated = 0.0, source = 1.0 }")
    with pytest.raises(UserError, match=r"^segmenter: adaptsegnet and lraspp: auxiliary_adversarial_weight is ab"):
        train_segmenter(workspace, 0, "translated", session)
    assert not workspace.segmenter(0, "source_only").exists()


def test_frames_of_another_translator_are_refused(copied_run, make_workspace, cpu):
    """A translator trained anew leaves translated frames behind that are not its own; they must not be trained on."""
    workspace = make_workspace("translator.cycle_weight=5.0", run=copied_run)
    with pytest.raises(UserError, match="trained with other settings or frames"):
        train_segmenter(workspace, 0, "translated", Session(cpu, restart=True))
    workspace = make_workspace("translation.height=16", run=copied_run)
    with pytest.raises(UserError, match="translated by another translator, or at another height"):
        train_segmenter(workspace, 0, "translated", Session(cpu, restart=True))


def test_frames_translated_from_others_than_the_source_has_now_are_refused(copied_run, make_workspace, cpu):
    """Also where the translator is the same as ever: one of label maps has learnt from no source frame."""
    workspace = make_workspace("segmenter.steps=1", "segmenter.warmup_steps=0", run=copied_run)
    manifest = copied_run / "seed-0/translated/manifest.jsonl"
    first, *others = manifest.read_text().splitlines()
    entry = json.loads(first)
    for lines in (others, [first.replace(entry["label_sha256"], "0" * 64), *others]):
        manifest.write_text("".join(f"{line}\n" for line in lines))
        with pytest.raises(UserError, match=f"as they are now \\({entry['frame']}; 1 in all"):
            train_segmenter(workspace, 0, "translated", Session(cpu, restart=True))
    manifest.write_text("".join(f"{line}\n" for line in others))  # the first failed, which is not hushed up
    (manifest.parent / "failures.jsonl").write_text(json.dumps({"frame": entry["frame"], "reason": "torn"}) + "\n")
    assert train_segmenter(workspace, 0, "translated", Session(cpu, restart=True)).is_dir()


# --- settings of the recipe ------------------------------------------------------------------------------

ONE_STEP = ("segmenter.steps=1", "segmenter.warmup_steps=0")
CAMERA = tuple(f"segmenter.{name}=1.0" for name in ("gamma", "grey", "blur", "noise", "jpeg", "style_from_target"))


def trained(workspace, cpu, arm="source_only"):
    path = train_segmenter(workspace, 0, arm, Session(cpu))
    return load_file(path / f"checkpoints/step-{workspace.experiment.segmenter.steps:08d}/method.safetensors")


@pytest.mark.parametrize(
    "loss", ["ohem", "cross_entropy", "focal", "dice", "boundary", "cross_entropy+dice", "boundary+dice"]
)
def test_every_loss_trains(make_workspace, cpu, loss):
    state = trained(make_workspace(f"segmenter.loss={loss}", *ONE_STEP), cpu)
    assert all(value.isfinite().all() for value in state.values())


def test_momentum_schedule_and_power_reach_the_method(make_workspace):
    changes = ("momentum=0.8", "schedule=cosine", "poly_power=1.5")
    experiment = make_workspace(*(f"segmenter.{change}" for change in changes)).experiment
    network = build_network(experiment.segmenter)
    method = build_segmenter(experiment.segmenter, network)
    assert method.optimizers()["network"].param_groups[0]["momentum"] == 0.8
    assert method.learning_rate_scale(2) == pytest.approx(0.5)  # half-way between the warm-up's end and the end
    poly = build_segmenter(experiment.segmenter.model_copy(update={"schedule": "poly"}), network)
    assert poly.learning_rate_scale(2) == pytest.approx(0.5**1.5)


def test_weights_of_classes_are_listed_or_counted(make_workspace):
    listed = make_workspace(f"segmenter.class_weights={[1.0] * 18 + [2.0]}").experiment.segmenter
    assert class_weights(listed, None).tolist() == [1.0] * 18 + [2.0]
    workspace = make_workspace("segmenter.class_weights=inverse_log")
    batches = labelled_batches(workspace, 0, "source_only")
    counts = sum(batches.pools["source"].classes_by_frame(19))
    expected = 1 / np.log(1.02 + counts / counts.sum())
    assert class_weights(workspace.experiment.segmenter, batches).numpy() == pytest.approx(expected, rel=1e-5)
    assert class_weights(make_workspace().experiment.segmenter, batches) is None


def test_weights_of_classes_change_what_is_learnt_and_prediction_needs_none(make_workspace, cpu, tmp_path):
    plain = trained(make_workspace(*ONE_STEP), cpu)
    workspace = make_workspace("segmenter.class_weights=inverse_log", *ONE_STEP, run=tmp_path / "weighted")
    weighted = trained(workspace, cpu)
    assert plain.keys() == weighted.keys()
    assert not all(torch.equal(plain[key], weighted[key]) for key in plain)
    assert load_segmenter(workspace.segmenter(0, "source_only"), cpu)[1].class_weights == "inverse_log"


@pytest.mark.parametrize("where", ["workers", "device"])
def test_frames_look_like_a_cameras_and_a_resumed_run_sees_the_same(make_workspace, cpu, tmp_path, where):
    """All that augmentation can do, at once: three steps straight on, and one step resumed to three."""
    settings = (*CAMERA, f"segmenter.augment_on={where}", "segmenter.style=either")
    whole = make_workspace(*settings)
    expected = trained(whole, cpu)
    resumed = make_workspace(*settings, run=tmp_path / "resumed")
    trained(resumed, cpu)
    folder = resumed.segmenter(0, "source_only")
    shutil.rmtree(folder / "checkpoints/step-00000003")
    (folder / "final.json").unlink()
    state = trained(resumed, cpu)
    assert all(torch.equal(value, state[key]) for key, value in expected.items())


def test_target_frames_that_lend_their_looks_are_part_of_the_runs_inputs(make_workspace):
    plain, styled = make_workspace(), make_workspace("segmenter.style_from_target=0.5")
    assert "style" not in segmenter_inputs(plain, 0, "source_only")["frames"]
    assert segmenter_inputs(styled, 0, "source_only")["frames"]["style"] == styled.sets.fingerprint(styled.target)
    assert "style" not in segmenter_inputs(styled, 0, "oracle")["frames"]


# --- batch normalisation and initial weights ---------------------------------------------------------------


def test_a_batch_of_one_is_refused_with_what_to_change(make_workspace, cpu):
    with pytest.raises(UserError) as error:
        train_segmenter(make_workspace("segmenter.batch=1"), 0, "source_only", Session(cpu))
    assert str(error.value).startswith("segmenter.batch is 1, with which ddrnet23_slim cannot train")
    assert 'segmenter.batch to 2 or more, or segmenter.batch_norm to "frozen"' in str(error.value)
    assert "\n" not in str(error.value)


def test_a_batch_of_one_trains_with_frozen_normalisation(make_workspace, cpu):
    workspace = make_workspace("segmenter.batch=1", "segmenter.batch_norm=frozen")
    state = trained(workspace, cpu)
    means = [value for key, value in state.items() if key.endswith("running_mean")]
    assert means and all((value == 0).all() for value in means)
    network, settings, _ = load_segmenter(workspace.segmenter(0, "source_only"), cpu)
    assert settings.batch_norm == "frozen" and all(parameter.requires_grad for parameter in network.parameters())


def test_a_synced_run_is_read_as_a_plain_network(make_workspace, cpu, tmp_path):
    plain = trained(make_workspace(*ONE_STEP), cpu)
    workspace = make_workspace("segmenter.batch_norm=synced", *ONE_STEP, run=tmp_path / "synced")
    state = trained(workspace, cpu)
    assert all(torch.equal(value, state[key]) for key, value in plain.items())
    network = load_segmenter(workspace.segmenter(0, "source_only"), cpu)[0]
    assert not any(isinstance(module, SyncedBatchNorm2d) for module in network.modules())


@pytest.fixture
def encoder(make_workspace, tmp_path):
    """A file with the weights of a whole network, drawn with another seed."""
    path = tmp_path / "encoder.safetensors"
    save_file(build_network(make_workspace().experiment.segmenter, 5).state_dict(), path)
    return path


def test_the_encoder_starts_from_the_file_and_the_run_says_so(make_workspace, cpu, encoder, capsys):
    workspace = make_workspace(f"segmenter.encoder_weights={encoder}", "segmenter.ema_decay=0.9", *ONE_STEP)
    path = train_segmenter(workspace, 0, "source_only", Session(cpu))
    start, given = load_file(path / "checkpoints/step-00000000/method.safetensors"), load_file(encoder)
    for part in ("network", "average.network"):  # the moving average starts from them too
        assert torch.equal(start[f"{part}.conv1.0.weight"], given["conv1.0.weight"])
    told = json.loads((path / "notes.json").read_text())["encoder_weights"]
    sha256 = segmenter_inputs(workspace, 0, "source_only")["settings"]["encoder_weights"]
    assert "encoder.safetensors" in told and sha256 in told
    assert capsys.readouterr().err.count(told) == 1
    encoder.unlink()  # prediction needs the file no more
    assert load_segmenter(path, cpu)[1].encoder_weights == str(encoder)


def test_a_run_is_known_by_the_encoders_bytes(make_workspace, cpu, encoder):
    workspace = make_workspace(f"segmenter.encoder_weights={encoder}")
    before = segmenter_inputs(workspace, 0, "source_only")["settings"]["encoder_weights"]
    encoder.write_bytes(b"other weights")
    after = segmenter_inputs(workspace, 0, "source_only")["settings"]["encoder_weights"]
    assert len(before) == len(after) == 64 and before != after
    named = segmenter_inputs(make_workspace("segmenter.encoder_weights=torchvision"), 0, "source_only")
    assert named["settings"]["encoder_weights"] == "torchvision"
    encoder.unlink()
    with pytest.raises(UserError, match=r"segmenter.encoder_weights: .*encoder.safetensors does not exist"):
        segmenter_inputs(workspace, 0, "source_only")


@pytest.mark.parametrize("branches", [2, 4])
def test_the_branches_of_deeplabv2_are_a_network_each(make_workspace, branches):
    """Once they were a setting of their own; what was trained so is still read, and known for the same."""
    changes = ("segmenter.network=deeplabv2_resnet101", f"segmenter.aspp_branches={branches}")
    workspace = make_workspace(*changes)
    name = {2: "deeplabv2_resnet101", 4: "deeplabv2_resnet101_four_branches"}[branches]
    assert workspace.experiment.segmenter.network == name
    identity = segmenter_inputs(workspace, 0, "source_only")["settings"]
    assert (identity["network"], identity["aspp_branches"]) == ("deeplabv2_resnet101", branches)
    summed = [len(module.conv2d_list) for module in NETWORKS[name]().modules() if hasattr(module, "conv2d_list")]
    assert summed


# --- bad files are named before the first step ---------------------------------------------------------------


@pytest.fixture
def carla(tiny_config, tmp_path):
    """Workspace whose source frames are ours to damage, and their folder."""
    folder = tmp_path / "frames"
    shutil.copytree(tiny_config.parent / "frames/game", folder)
    source = f'source=[{{reader = "carla", name = "mine", root = "{folder}", version = "0.9.14"}}]'
    return Workspace(read_experiment(tiny_config, (source, *ONE_STEP)), tmp_path, tmp_path / "run"), folder


def unknown_id(image, label):
    values = read_raw(label).copy()
    values[3, 3] = (200, 0, 0)
    write_image(label, values)
    return f"{label}: holds unknown ids 200"


def another_size(image, label):
    write_image(label, read_raw(label)[:20, :30])
    return f"{label}: the label map is 30x20, its image {image} is 64x32"


def cut_off_image(image, label):
    image.write_bytes(image.read_bytes()[:-200])
    return f"{image}: the PNG is cut off"


def cut_off_label(image, label):
    label.write_bytes(label.read_bytes()[:-20])
    return f"{label}: the PNG is cut off"


def empty(image, label):
    image.write_bytes(b"")
    return f"{image}: "


@pytest.mark.parametrize("kept_bytes", [2**30, 0])
@pytest.mark.parametrize("damage", [unknown_id, another_size, cut_off_image, cut_off_label, empty])
def test_a_bad_file_is_named_before_the_first_step(carla, cpu, monkeypatch, damage, kept_bytes):
    """Also the last of more frames than memory holds."""
    monkeypatch.setattr(FramePool.__init__, "__defaults__", (kept_bytes,))
    workspace, folder = carla
    image, label = max((folder / "rgb").iterdir()), max((folder / "semantic").iterdir())
    message = damage(image, label)
    with pytest.raises(ImageError) as error:
        train_segmenter(workspace, 0, "source_only", Session(cpu))
    assert str(error.value).startswith(message) and "\n" not in str(error.value)
    assert not (workspace.segmenter(0, "source_only") / "metrics.jsonl").exists()


def test_frames_without_a_labelled_pixel_train_without_harm(carla, cpu):
    workspace, folder = carla
    for label in sorted((folder / "semantic").iterdir())[1:]:  # a set without any labelled pixel is refused
        write_image(label, np.zeros_like(read_raw(label)))
    path = train_segmenter(workspace, 0, "source_only", Session(cpu))
    (row,) = [json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()]
    assert all(math.isfinite(value) for value in row.values())
