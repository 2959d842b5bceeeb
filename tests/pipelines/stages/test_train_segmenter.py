"""Stage two's training: the three arms differ in their frames and in nothing else."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file

from pipelines.data.batches import FramePool
from pipelines.engine.checkpoints import list_checkpoints
from pipelines.errors import UserError
from pipelines.stages.train_segmenter import build_segmenter, labelled_batches, load_segmenter, train_segmenter
from pipelines.workspace import ARMS

FOLDERS = {"source_only": "source_only", "translated": "translated_net", "oracle": "oracle"}


@pytest.mark.parametrize("arm", ARMS)
def test_the_run_folder_explains_itself(tiny_run, make_workspace, arm):
    run = tiny_run / "seed-0" / FOLDERS[arm]
    config = json.loads((run / "config.json").read_text())
    assert config == json.loads(json.dumps(make_workspace().segmenter_inputs(0, arm)))
    (row,) = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert row.keys() == {"step", "main", "auxiliary"} and row["step"] == 3
    assert sorted(path.name for path in (run / "previews").iterdir()) == ["step-00000002.jpg", "step-00000003.jpg"]
    assert [path.name for path in list_checkpoints(run / "checkpoints")] == ["step-00000003", "step-00000002"]
    assert json.loads((run / "final.json").read_text())["checkpoint"] == "checkpoints/step-00000003"


def test_initial_weights_follow_from_the_seed_alone_and_are_equal_across_arms(make_workspace, cpu):
    """All arms call `build_segmenter(settings, seed)`; the shares, in which alone they differ, must not matter."""
    plain = make_workspace().experiment.segmenter
    mixed = make_workspace("segmenter.shares.translated=0.5", "segmenter.shares.source=0.5").experiment.segmenter
    first = build_segmenter(plain, 0).state_dict()
    torch.rand(7)
    same, other = build_segmenter(mixed, 0).state_dict(), build_segmenter(plain, 1).state_dict()
    assert all(torch.equal(first[key], same[key]) for key in first)
    assert not all(torch.equal(first[key], other[key]) for key in first)


def test_every_arm_begins_with_the_same_checkpoint(make_workspace, cpu, copied_run):
    workspace = make_workspace("segmenter.steps=1", "segmenter.warmup_steps=0", run=copied_run)
    states = []
    for arm in ARMS:
        shutil.rmtree(workspace.segmenter(0, arm))
        path = train_segmenter(workspace, 0, arm, cpu, workers=0)
        states.append(load_file(path / "checkpoints/step-00000000/method.safetensors"))
    assert states[0].keys() == states[1].keys() == states[2].keys()
    assert all(torch.equal(states[0][key], state[key]) for state in states for key in state)


def test_arms_learn_from_their_frames(make_workspace, tiny_run):
    workspace = make_workspace(run=tiny_run)
    pools = {arm: labelled_batches(workspace, 0, arm).pools for arm in ARMS}
    assert {arm: list(pool) for arm, pool in pools.items()} == {
        "source_only": ["source"],
        "translated": ["translated"],
        "oracle": ["target"],
    }
    translated, source = pools["translated"]["translated"], pools["source_only"]["source"]
    assert len(translated) == len(source) == 5 and isinstance(translated, FramePool)
    for index in range(5):
        assert (translated.label_map(index) == source.label_map(index)).all()
        assert (translated.image(index) != source.image(index)).any()


def test_arms_draw_the_same_places_and_augmentations(make_workspace, tiny_run):
    """Source-only and translated see the same frames, cut and mirrored alike: what differs is the translation."""
    workspace = make_workspace(run=tiny_run)
    plain, translated = (labelled_batches(workspace, 0, arm) for arm in ("source_only", "translated"))
    for step in range(4):
        assert torch.equal(plain(step).label_map, translated(step).label_map)
        assert not torch.equal(plain(step).image, translated(step).image)


def test_rare_classes_and_moving_average_by_setting(make_workspace, cpu):
    workspace = make_workspace("segmenter.rare_class_sampling=true", "segmenter.ema_decay=0.5", "segmenter.steps=2")
    path = train_segmenter(workspace, 0, "source_only", cpu, workers=0)
    network, settings, checkpoint = load_segmenter(path, cpu)
    assert checkpoint.name == "step-00000002" and settings.ema_decay == 0.5
    assert not network.training and network(torch.rand(1, 3, 32, 64)).shape == (1, 19, 32, 64)


def test_the_translated_arm_needs_translated_frames(make_workspace, cpu):
    with pytest.raises(UserError, match="translated"):
        train_segmenter(make_workspace(), 0, "translated", cpu, workers=0)


def test_frames_of_another_translator_are_refused(copied_run, make_workspace, cpu):
    """A translator trained anew leaves translated frames behind that are not its own; they must not be trained on."""
    workspace = make_workspace("translator.cycle_weight=5.0", run=copied_run)
    with pytest.raises(UserError, match="trained with other settings or frames"):
        train_segmenter(workspace, 0, "translated", cpu, 0, restart=True)
    workspace = make_workspace("translation.height=16", run=copied_run)
    with pytest.raises(UserError, match="translated by another translator, or at another height"):
        train_segmenter(workspace, 0, "translated", cpu, 0, restart=True)
