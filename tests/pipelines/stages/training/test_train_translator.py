"""Stage one's training: a run folder that explains itself, and weights that follow from the seed."""

import json

import pytest
import torch

from pipelines.engine.checkpoint_files import list_checkpoints, newest_checkpoint, read_state
from pipelines.engine.session import Session
from pipelines.errors import CheckpointError, NoInputsError, UserError
from pipelines.experiment.identity import translator_inputs
from pipelines.experiment.trained import build_translator, finished_translator, load_segmenter, load_translator
from pipelines.experiment.workspace import Workspace
from pipelines.stages.training.train_translator import train_translator

LOSSES = {
    *("adversarial_source", "adversarial_target", "cycle_source", "cycle_target"),
    *("identity_source", "identity_target", "discriminator_source", "discriminator_target"),
}


def rows(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_the_run_folder_explains_itself(tiny_run, make_workspace):
    run = tiny_run / "seed-0/translator"
    config = json.loads((run / "config.json").read_text())
    assert config == json.loads(json.dumps(translator_inputs(make_workspace(), 0)))
    assert config["settings"]["generator_channels"] == 4 and config["seed"] == 0
    environment = json.loads((run / "environment.json").read_text())
    assert {"torch", "sim2real"} <= environment["packages"].keys() and environment["machine"]
    (row,) = rows(run / "metrics.jsonl")
    assert row["step"] == 4 and row.keys() - {"step"} == LOSSES
    (timing,) = rows(run / "timings.jsonl")
    assert timing["seconds"] > timing["waited"] >= 0
    assert sorted(path.name for path in (run / "previews").iterdir()) == ["step-00000002.jpg", "step-00000004.jpg"]
    assert [path.name for path in list_checkpoints(run / "checkpoints")] == ["step-00000004", "step-00000002"]
    final = json.loads((run / "final.json").read_text())
    assert final["checkpoint"] == "checkpoints/step-00000004"


def test_a_finished_run_is_left_alone(copied_run, make_workspace, cpu):
    before = {path: path.stat().st_mtime_ns for path in copied_run.rglob("*") if path.name != ".lock"}
    train_translator(make_workspace(run=copied_run), 0, Session(cpu))
    after = {path: path.stat().st_mtime_ns for path in copied_run.rglob("*") if path.name != ".lock"}
    assert {path for path in after if before.get(path) != after[path]} <= {copied_run, copied_run / ".hashes.json"}


def test_a_run_with_other_settings_is_refused_or_set_aside(copied_run, make_workspace, cpu):
    other = make_workspace("translator.cycle_weight=5.0", "translator.steps=1", run=copied_run)
    with pytest.raises(UserError, match=r"settings\.cycle_weight was 10\.0, now 5\.0.*--restart"):
        train_translator(other, 0, Session(cpu))
    train_translator(other, 0, Session(cpu, restart=True))
    assert (copied_run / "seed-0/translator.replaced-1/checkpoints/step-00000004").is_dir()
    assert newest_checkpoint(copied_run / "seed-0/translator/checkpoints").name == "step-00000001"


def test_initial_weights_follow_from_the_seed(make_workspace):
    settings = make_workspace().experiment.translator
    states = [build_translator(settings, seed).state_dict() for seed in (1, 1, 2)]
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])
    assert not all(torch.equal(states[0][key], states[2][key]) for key in states[0])


def test_initial_weights_do_not_follow_from_what_came_before(make_workspace):
    settings = make_workspace().experiment.translator
    first = build_translator(settings, 1).state_dict()
    torch.rand(100)
    second = build_translator(settings, 1).state_dict()
    assert all(torch.equal(first[key], second[key]) for key in first)


def test_the_checkpoint_alone_rebuilds_the_translator(tiny_run, cpu):
    method, checkpoint = load_translator(tiny_run / "seed-0/translator", cpu)
    assert checkpoint.name == "step-00000004" and not method.training
    again, _ = load_translator(checkpoint, cpu)
    image = torch.rand(1, 3, 20, 30)
    translation = method.translate(image)
    assert translation.shape == image.shape and torch.equal(translation, again.translate(image))
    assert read_state(checkpoint)["about"]["settings"]["generator_channels"] == 4


def test_a_segmenter_is_no_translator_nor_the_reverse(tiny_run, cpu):
    with pytest.raises(CheckpointError, match="is a segmenter, expected a translator"):
        load_translator(tiny_run / "seed-0/oracle", cpu)
    with pytest.raises(CheckpointError, match="is a translator, expected a segmenter"):
        load_segmenter(tiny_run / "seed-0/translator", cpu)


def test_a_damaged_last_checkpoint_is_trained_again(copied_run, tiny_run, make_workspace, cpu):
    run = copied_run / "seed-0/translator"
    damaged = run / "checkpoints/step-00000004/method.safetensors"
    content = bytearray(damaged.read_bytes())
    content[-100] ^= 1
    damaged.write_bytes(content)
    train_translator(make_workspace(run=copied_run), 0, Session(cpu))
    original = tiny_run / "seed-0/translator/checkpoints/step-00000004/method.safetensors"
    assert damaged.read_bytes() == original.read_bytes()


def test_a_missing_set_is_named_before_anything_is_written(make_workspace, tmp_path, cpu):
    folder = {"reader": "folder", "name": "photographs", "root": str(tmp_path / "none"), "images": "{name}.png"}
    experiment = make_workspace().experiment
    content = experiment.model_dump(mode="json") | {"source": [folder]}
    workspace = Workspace(type(experiment).model_validate(content), tmp_path, tmp_path / "run")
    with pytest.raises(UserError, match="photographs"):
        train_translator(workspace, 0, Session(cpu))
    (tmp_path / "none").mkdir()
    with pytest.raises(NoInputsError, match="photographs"):
        train_translator(workspace, 0, Session(cpu))
    assert not (tmp_path / "run").exists()


def test_one_translator_serves_every_seed(copied_run, make_workspace, cpu):
    workspace = make_workspace("compare.one_translator=true", "compare.seeds=[0, 1]", run=copied_run)
    assert train_translator(workspace, 1, Session(cpu)) == copied_run / "seed-0/translator"
    assert finished_translator(workspace, 1).parent.parent == copied_run / "seed-0/translator"
    assert not (copied_run / "seed-1").exists()
