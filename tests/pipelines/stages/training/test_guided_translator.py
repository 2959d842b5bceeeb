"""A guided translator builds on other runs: they are trained when missing, they count as inputs, and they stay as they
are.
"""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file

from pipelines.engine.checkpoint_files import resolve_checkpoint
from pipelines.engine.session import Session
from pipelines.errors import CheckpointError, NoInputsError, UserError
from pipelines.experiment.identity import translator_inputs
from pipelines.experiment.trained import finished_translator, load_translator
from pipelines.experiment.workspace import Workspace
from pipelines.stages.training.train_segmenter import train_segmenter
from pipelines.stages.training.train_translator import starting_translator, train_translator, unpaired_batches

TASK = "translator.guidance.task_weight=1"
LABEL = "translator.guidance.label_weight=1"
CONSISTENCY = "translator.guidance.consistency_weight=1"


def expert(name):
    return f"translator.guidance.expert={name}"


def logged(run):
    return json.loads((run / "metrics.jsonl").read_text().splitlines()[-1])


def weights(path):
    return load_file(resolve_checkpoint(path) / "method.safetensors")


# --- one config runs all stages ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def guided_run(tmp_path_factory, tiny_config):
    """Run folder of a translator guided in all forms by an expert that had to be trained first."""
    from pipelines.engine.launch import Machine
    from pipelines.experiment.config import read_experiment

    run = tmp_path_factory.mktemp("guided") / "run"
    workspace = Workspace(read_experiment(tiny_config, GUIDED), tiny_config.parent, run)
    train_translator(workspace, 0, Session(Machine(torch.device("cpu"), "fp32")))
    return run


GUIDED = (TASK, LABEL, CONSISTENCY, "labelled_target=2", "translator.guidance.start_step=2")


@pytest.fixture
def copied_guided(guided_run, tmp_path):
    return shutil.copytree(guided_run, tmp_path / "run")


def test_the_expert_is_trained_first_and_all_forms_are_logged(guided_run):
    assert (guided_run / "seed-0/source_only/final.json").exists()
    row = logged(guided_run / "seed-0/translator")
    assert {"task", "label", "consistency_source", "consistency_target", "cycle_source"} <= row.keys()
    assert not (guided_run / "unguided").exists()


def test_the_expert_is_the_arm_of_the_comparison(copied_guided, make_workspace, cpu):
    """The comparison's source-only arm needs the same inputs: it finds the expert and leaves it as it is."""
    before = (copied_guided / "seed-0/source_only/final.json").stat().st_mtime_ns
    train_segmenter(make_workspace(run=copied_guided), 0, "source_only", Session(cpu))
    assert (copied_guided / "seed-0/source_only/final.json").stat().st_mtime_ns == before


def test_the_guided_translator_translates_without_its_expert(copied_guided, cpu):
    shutil.rmtree(copied_guided / "seed-0/source_only")
    method, _ = load_translator(copied_guided / "seed-0/translator", cpu)
    assert method.translate(torch.rand(1, 3, 20, 30), "target_to_source").shape == (1, 3, 20, 30)
    assert not any("expert" in key for key in weights(copied_guided / "seed-0/translator"))


def test_a_finished_guided_translator_is_known_by_its_inputs(copied_guided, make_workspace):
    assert finished_translator(make_workspace(*GUIDED, run=copied_guided), 0).name == "step-00000004"
    for other in ("labelled_target=3", "segmenter.learning_rate=0.5", "translator.guidance.alpha=0.5"):
        with pytest.raises(CheckpointError, match="other settings or frames"):
            finished_translator(make_workspace(*GUIDED, other, run=copied_guided), 0)


# --- what it depends on ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "changed"),
    [
        ((LABEL,), ["segmenter.steps=2"]),
        ((LABEL, expert("oracle")), ["segmenter.steps=2"]),
        ((LABEL, expert("few_labels")), ["segmenter.steps=2", "labelled_target=2"]),
        ((LABEL, expert("translated")), ["segmenter.steps=2", "translation.height=16"]),
        ((TASK,), ["segmenter.steps=2", "labelled_target=2"]),
        ((), []),
    ],
)
def test_inputs_include_what_the_expert_and_the_labels_come_from(make_workspace, settings, changed):
    overrides = ["segmenter.steps=2", "labelled_target=2", "translation.height=16"]
    before = translator_inputs(make_workspace(*settings), 0)
    found = [one for one in overrides if translator_inputs(make_workspace(*settings, one), 0) != before]
    assert found == changed


def test_few_labels_learn_from_the_subset_and_the_oracle_from_all(make_workspace):
    workspace = make_workspace("labelled_target=2")
    assert sum(map(len, workspace.target_labels(0, "few_labels"))) == 2
    assert sum(map(len, workspace.target_labels(0, "translated"))) == 2
    assert sum(map(len, workspace.target_labels(0, "oracle"))) == 4


def test_subsets_of_one_translator_for_all_seeds_are_one(make_workspace):
    def chosen(workspace, seed):
        return [frame.name for frames in workspace.labelled_subset(seed) for frame in frames.frames]

    apart = make_workspace("labelled_target=2", "compare.seeds=[0, 1, 2, 3, 4, 5]")
    shared = make_workspace("labelled_target=2", "compare.seeds=[0, 1, 2, 3, 4, 5]", "compare.one_translator=true")
    assert len({tuple(chosen(apart, seed)) for seed in range(6)}) > 1
    assert {tuple(chosen(shared, seed)) for seed in range(6)} == {tuple(chosen(apart, 0))}


# --- batches ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "labels"),
    [((), (False, False)), ((TASK,), (False, True)), ((LABEL,), (True, False)), ((CONSISTENCY,), (False, False))],
)
def test_labels_are_read_only_where_guidance_needs_them(make_workspace, settings, labels):
    batch = unpaired_batches(make_workspace(*settings), 0)(0)
    assert (batch.source_label_map is not None, batch.labelled_target is not None) == labels
    assert (batch.target_label_map is not None) == labels[1]


def test_only_the_subset_is_shown(make_workspace):
    batches = unpaired_batches(make_workspace(TASK, "labelled_target=1"), 0)
    assert len(batches.labelled_target) == 1


def test_the_task_loss_without_a_labelled_frame_is_refused(make_workspace, tiny_config):
    experiment = make_workspace(TASK).experiment
    folder = {
        "reader": "folder",
        "name": "photographs",
        "root": str(next((tiny_config.parent / "frames/camera").rglob("*leftImg8bit.png")).parent),
        "images": "{name}.png",
    }
    content = experiment.model_dump(mode="json") | {"target": [folder]}
    workspace = Workspace(type(experiment).model_validate(content), tiny_config.parent, make_workspace().run)
    with pytest.raises(NoInputsError, match="task_weight needs a few"):
        unpaired_batches(workspace, 0)


# --- warm start ------------------------------------------------------------------------------------------


def test_a_warm_start_takes_over_the_networks_and_nothing_else(tiny_run, make_workspace, cpu):
    path = tiny_run / "seed-0/translator"
    method = starting_translator(make_workspace(f"translator.initial={path}", "translator.ema_decay=0.9"), 0, cpu)
    state, saved = method.state_dict(), weights(path)
    networks = [key for key in saved if key.split(".")[0].endswith(("target", "source", "discriminator"))]
    assert networks and all(torch.equal(state[key], saved[key]) for key in networks)
    assert int(saved["steps_taken"]) == 4 and int(state["steps_taken"]) == 0
    assert int(state["fake_source_pool.count"]) == 0
    image = torch.rand(1, 3, 16, 16)
    plain, _ = load_translator(path, cpu)
    assert torch.equal(method.translate(image), plain.translate(image))  # the average begins where the weights are


def test_a_warm_start_counts_by_content_and_not_by_place(copied_run, tiny_run, make_workspace):
    inputs = [
        translator_inputs(make_workspace(f"translator.initial={run / 'seed-0/translator'}"), 0)
        for run in (tiny_run, copied_run)
    ]
    assert inputs[0] == inputs[1] != translator_inputs(make_workspace(), 0)


def test_another_architecture_is_refused(tiny_run, make_workspace, cpu):
    workspace = make_workspace(
        f"translator.initial={tiny_run / 'seed-0/translator'}", "translator.generator_channels=2"
    )
    with pytest.raises(
        CheckpointError, match=r"translator\.initial: .*source_to_target cannot start from these weights"
    ):
        starting_translator(workspace, 0, cpu)
    segmenter = make_workspace(f"translator.initial={tiny_run / 'seed-0/oracle'}")
    with pytest.raises(CheckpointError, match="is a segmenter, expected a translator"):
        starting_translator(segmenter, 0, cpu)


def test_staged_as_in_the_paper(make_workspace, tiny_run, copied_run, cpu):
    """Expert, unguided CycleGAN, then the guided one from its weights: one command, each stage in its own folder."""
    workspace = make_workspace(TASK, "translator.initial=unguided", "translator.steps=2", run=copied_run.parent / "new")
    shutil.copytree(copied_run / "seed-0/source_only", workspace.run / "seed-0/source_only")
    run = train_translator(workspace, 0, Session(cpu))
    unguided = workspace.run / "unguided/seed-0/translator"
    assert "task" in logged(run) and "task" not in logged(unguided)
    first, taken = load_file(run / "checkpoints/step-00000000/method.safetensors"), weights(unguided)
    key = "source_to_target.model.1.weight"
    assert torch.equal(first[key], taken[key])
    assert (
        json.loads((unguided / "config.json").read_text()) == json.loads((run / "config.json").read_text())["initial"]
    )


def test_an_expert_of_translated_frames_learns_from_an_unguided_translator(make_workspace, cpu):
    workspace = make_workspace(LABEL, expert("translated"), "translator.steps=2")
    run = train_translator(workspace, 0, Session(cpu))
    assert "label" in logged(run)
    assert (workspace.run / "unguided/seed-0/translated_net/final.json").exists()
    assert not (workspace.run / "seed-0/translated_net").exists()


# --- experts from elsewhere ------------------------------------------------------------------------------------


def test_an_expert_from_elsewhere(tiny_run, copied_run, make_workspace, cpu):
    new = copied_run.parent / "new"
    guided = [
        make_workspace(LABEL, expert(run / "seed-0" / arm), "translator.steps=1", run=new)
        for run, arm in ((copied_run, "oracle"), (tiny_run, "oracle"), (tiny_run, "source_only"))
    ]
    assert "label" in logged(train_translator(guided[0], 0, Session(cpu)))
    inputs = [translator_inputs(workspace, 0) for workspace in guided]
    assert inputs[0] == inputs[1] != inputs[2]  # the same segmenter in another place, and another one


def test_an_expert_that_is_not_there_is_refused_before_anything_is_trained(make_workspace, cpu):
    workspace = make_workspace(LABEL, expert("oracel"))
    with pytest.raises(
        UserError, match="expert is 'oracel'; expected one of source_only, translated, oracle, few_labels"
    ):
        train_translator(workspace, 0, Session(cpu))
    assert not (workspace.run / "seed-0").exists()
