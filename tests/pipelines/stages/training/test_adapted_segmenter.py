"""Arms that adapt, by every method that there is: trained, resumed, opened; and what they must never see."""

import json
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from pipelines.data.images import read_raw, write_image
from pipelines.engine.checkpoint_files import checkpoint_hash, resolve_checkpoint
from pipelines.engine.session import Session
from pipelines.errors import CheckpointError, NoInputsError, UserError
from pipelines.experiment.config import read_experiment
from pipelines.experiment.identity import segmenter_inputs
from pipelines.experiment.segmenters import ADAPTATIONS
from pipelines.experiment.trained import assumptions_of, load_segmenter
from pipelines.experiment.workspace import Workspace
from pipelines.pretrained.inputs import parse_input
from pipelines.pretrained.published_segmenters import SegmenterImport, find_segmenter, import_segmenter
from pipelines.stages.training.segmenter_batches import adaptation_batches, pseudo_labelled_batches
from pipelines.stages.training.train_segmenter import starting_segmenter, train_segmenter
from segment.inference import MultiScale
from segment.methods import METHODS
from segment.networks import NETWORKS
from segment.networks.segmenter import Segmenter

FROM_SOURCE = ("segmenter.shares.translated=0", "segmenter.shares.source=1", "segmenter.steps=3")


SMALL = {"mic": ", block = 8"}
"""What is set otherwise for crops of 64x32, beside the name of the method."""


def adapting(method, *more):
    teachers = ['segmenter.teachers=["source_only"]'] * METHODS[method].takes_teacher
    adaptation = f'segmenter.adaptation={{method = "{method}"{SMALL.get(method, "")}}}'
    return (*FROM_SOURCE, adaptation, *teachers, *more)


def state_of(workspace, step=3):
    return load_file(workspace.segmenter(0, "translated") / f"checkpoints/step-{step:08d}/method.safetensors")


@pytest.fixture(params=sorted(ADAPTATIONS))
def method(request):
    return request.param


def test_the_packaged_weights_are_what_features_are_held_to(make_workspace, cpu, capsys):
    """DAFormer's distance needs an encoder that ImageNet taught: a package's is one, and random weights are none."""
    held = 'segmenter.adaptation={method = "dacs", feature_distance_weight = 0.005, feature_share = 0.0}'
    settings = (*FROM_SOURCE, "segmenter.network=fpn_efficientnet_lite0", held)
    workspace = make_workspace(*settings, 'segmenter.encoder_weights="package"')
    run = train_segmenter(workspace, 0, "translated", Session(cpu))
    (row,) = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert row["feature_distance"] > 0
    assert "efficientnet-lite0-57934424.pth" in json.loads((run / "notes.json").read_text())["encoder_weights"]
    with pytest.raises(UserError, match=r"is 0\.005, a distance to ImageNet's .* starts from random"):
        make_workspace(*settings)
    with pytest.raises(UserError, match=r"starts as initial = 'source_only' ended; set encoder_weights"):
        make_workspace(*settings, 'segmenter.encoder_weights="package"', "segmenter.initial=source_only")


def test_an_arm_adapts_and_its_network_opens_without_what_trained_it(make_workspace, cpu, method):
    workspace = make_workspace(*adapting(method))
    run = train_segmenter(workspace, 0, "translated", Session(cpu))
    (row,) = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert row["step"] == 3 and {"main", "auxiliary"} < row.keys(), "the method's own losses are in the log"
    network, settings, _ = load_segmenter(run, cpu)
    assert isinstance(network, Segmenter) and settings.adaptation.method == method
    own = {key.removeprefix("network.") for key in state_of(workspace) if key.startswith("network.")}
    assert own == set(network.state_dict())


def test_a_stopped_training_goes_on_to_the_same_bits(make_workspace, cpu, method, tmp_path):
    straight, resumed = (make_workspace(*adapting(method), run=tmp_path / name) for name in ("straight", "resumed"))
    train_segmenter(straight, 0, "translated", Session(cpu))
    shutil.copytree(straight.segmenter(0, "translated"), resumed.segmenter(0, "translated"))
    run = resumed.segmenter(0, "translated")
    shutil.rmtree(run / "checkpoints/step-00000003")
    (run / "final.json").unlink()
    train_segmenter(resumed, 0, "translated", Session(cpu))
    before, after = state_of(straight), state_of(resumed)
    assert all(torch.equal(before[key], after[key]) for key in before)


def test_labels_of_the_target_never_reach_it(tiny_config, make_workspace, cpu, method, tmp_path):
    """Every label of the target turned into another class: the same bits. Spared are those of the few frames that a
    semi-supervised method is given.
    """
    root = tmp_path / "camera"
    shutil.copytree(tiny_config.parent / "frames/camera", root)
    target = f'target=[{{reader = "cityscapes", name = "camera", root = "{root}"}}]'
    settings = read_experiment(tiny_config, adapting(method, target, "labelled_target=1"))
    spared = set()
    if METHODS[method].learns_from == "semi_supervised":
        few = Workspace(settings, tmp_path, tmp_path / "run").labelled_subset(0)
        spared = {frame.label for frames in few for frame in frames.frames}
        assert len(spared) == 1
    states = []
    for corrupt in (False, True):
        if corrupt:
            labels = [path for path in root.rglob("*.png") if "label" in path.name.lower()]
            assert set(labels) > spared
            for path in set(labels) - spared:
                write_image(path, np.full_like(read_raw(path), 7))
        workspace = Workspace(settings, tmp_path, tmp_path / f"run-{corrupt}")
        train_segmenter(workspace, 0, "translated", Session(cpu))
        states.append(state_of(workspace))
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])


def test_longer_features_are_one_setting_and_their_norms_are_in_the_log(make_workspace, cpu):
    added = 'segmenter.adaptation={method = "maxsquare", feature_norm = {weight = 0.5}}'
    workspace = make_workspace(*FROM_SOURCE, added)
    run = train_segmenter(workspace, 0, "translated", Session(cpu))
    (row,) = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert row["feature_norm/source"] > 0 and row["feature_norm/target"] > 0
    assert state_of(workspace)["feature_norm.steps_taken.steps"].item() == 3
    assert load_segmenter(run, cpu)[1].adaptation.feature_norm.weight == 0.5


def test_the_reference_arms_do_not_adapt(make_workspace, cpu):
    workspace = make_workspace(*adapting("dacs"))
    run = train_segmenter(workspace, 0, "source_only", Session(cpu))
    assert load_segmenter(run, cpu)[1].adaptation is None
    state = load_file(run / "checkpoints/step-00000003/method.safetensors")
    assert all(key.startswith("network.") for key in state)


def test_an_adapted_arm_may_start_from_the_source_only_one(make_workspace, cpu):
    workspace = make_workspace(*adapting("maxsquare", "segmenter.initial=source_only"))
    train_segmenter(workspace, 0, "translated", Session(cpu))  # trains the other first
    batches = adaptation_batches(workspace, 0, "translated")
    begun = starting_segmenter(workspace, 0, "translated", batches, cpu).network.state_dict()
    source_only = load_segmenter(workspace.segmenter(0, "source_only"), cpu)[0].state_dict()
    assert all(torch.equal(begun[key], source_only[key]) for key in source_only)


@pytest.mark.parametrize("method", ["adaptsegnet", "clan", "swd", "ass"])
def test_networks_that_a_method_adds_are_each_seeds_own_wherever_it_starts(make_workspace, cpu, method):
    """From one file of weights: the seed, which is all that differs, shows in what is drawn beside these."""
    labels = ("labelled_target=1",) * (method == "ass")
    begun = train_segmenter(make_workspace(*FROM_SOURCE), 0, "source_only", Session(cpu))
    workspace = make_workspace(*adapting(method, f'segmenter.initial="{begun}"', *labels))
    starts = [starting_segmenter(workspace, seed, "translated", None, cpu).state_dict() for seed in (0, 0, 1)]
    added = [key for key in starts[0] if "discriminator" in key or key.startswith("second_classifier.")]
    drawn = [key for key in added if key.endswith("weight") and starts[0][key].ndim > 1]
    assert drawn and all(torch.equal(starts[0][key], starts[1][key]) for key in added)
    assert not any(torch.equal(starts[0][key], starts[2][key]) for key in drawn)
    assert all(torch.equal(starts[0][key], starts[2][key]) for key in starts[0] if key.startswith("network."))


def test_teachers_are_part_of_what_decides_the_outcome(make_workspace, cpu, tmp_path):
    """By what they were made from: an arm by its settings and frames, a checkpoint by its bytes."""
    by_arm = make_workspace(*adapting("distillation"))
    run = train_segmenter(by_arm, 0, "source_only", Session(cpu))
    by_path = make_workspace(*adapting("distillation", f'segmenter.teachers=["{run}", "{run}"]'))
    named, hashed = (segmenter_inputs(one, 0, "translated")["frames"]["teachers"] for one in (by_arm, by_path))
    assert named == [segmenter_inputs(by_arm, 0, "source_only")]
    assert hashed == [checkpoint_hash(resolve_checkpoint(run))] * 2
    assert "teachers" not in segmenter_inputs(by_path, 0, "source_only")["frames"]


def test_a_run_that_others_start_from_may_be_moved(make_workspace, cpu, tmp_path):
    """The copy has the same bytes. A run that was known by its path, too, is not trained again either."""
    begun = train_segmenter(make_workspace(), 0, "source_only", Session(cpu))
    copy = shutil.copytree(begun, tmp_path / "moved")
    at = [
        make_workspace(*adapting("maxsquare", f"segmenter.initial={one}"), run=tmp_path / "it") for one in (begun, copy)
    ]
    run = train_segmenter(at[0], 0, "translated", Session(cpu))
    finished = (run / "final.json").stat().st_mtime_ns
    assert train_segmenter(at[1], 0, "translated", Session(cpu)) == run
    config = json.loads((run / "config.json").read_text())
    config["settings"]["initial"] = "/somewhere/else"
    (run / "config.json").write_text(json.dumps(config))
    train_segmenter(at[1], 0, "translated", Session(cpu))
    assert (run / "final.json").stat().st_mtime_ns == finished
    other = make_workspace(*adapting("maxsquare", f"segmenter.initial={run}"), run=tmp_path / "it")
    with pytest.raises(UserError, match="other settings or data"):
        train_segmenter(other, 0, "translated", Session(cpu))


def test_rounds_of_pseudo_labels_name_each_other(make_workspace, cpu, tmp_path):
    """The second round is labelled by the first's network and starts from it; its labels are a set of their own."""
    first = make_workspace(*adapting("cbst"), run=tmp_path / "first")
    run = train_segmenter(first, 0, "translated", Session(cpu))
    assert (first.pseudo_labels(0) / "pseudo_labels.json").exists()
    named = (f'segmenter.teachers=["{run}"]', f"segmenter.initial={run}")
    second = make_workspace(*adapting("cbst", *named), run=tmp_path / "second")
    batch = None
    train_segmenter(second, 0, "translated", Session(cpu))
    batch = pseudo_labelled_batches(second, 0, "translated")(0)
    assert batch.pseudo_label.shape == batch.target.shape[:1] + batch.target.shape[2:]
    assert batch.labelled_target is None


def test_several_teachers_teach_as_one(make_workspace, cpu, tmp_path):
    teachers = [
        train_segmenter(make_workspace(*FROM_SOURCE, change, run=tmp_path / change), 0, "source_only", Session(cpu))
        for change in ("segmenter.learning_rate=0.01", "segmenter.network=ppliteseg_t")
    ]
    named = f'segmenter.teachers=["{teachers[0]}", "{teachers[1]}"]'
    workspace = make_workspace(*adapting("distillation", named), run=tmp_path / "student")
    batches = adaptation_batches(workspace, 0, "translated")
    (teacher,) = starting_segmenter(workspace, 0, "translated", batches, cpu)._teacher
    image = torch.rand(1, 3, 32, 64)
    said = [load_segmenter(run, cpu)[0](image).softmax(1) for run in teachers]
    torch.testing.assert_close(teacher(image).softmax(1), (said[0] + said[1]) / 2)


def test_a_teacher_is_shown_frames_at_its_own_height_unless_it_goes_on_learning(make_workspace, cpu, tmp_path):
    height = make_workspace().experiment.segmenter.height
    of_teacher = make_workspace(*FROM_SOURCE, f"segmenter.height={2 * height}", run=tmp_path / "teacher")
    run = train_segmenter(of_teacher, 0, "source_only", Session(cpu))
    alone = load_segmenter(run, cpu)[0]

    def begun(method):
        workspace = make_workspace(*adapting(method, f'segmenter.teachers=["{run}"]'), run=tmp_path / method)
        return starting_segmenter(workspace, 0, "translated", adaptation_batches(workspace, 0, "translated"), cpu)

    (teacher,) = begun("distillation")._teacher
    image = torch.rand(1, 3, 32, 64)
    assert torch.equal(teacher(image), MultiScale(alone, (2.0,))(image))
    assert torch.equal(begun("duda").large.eval()(image), alone(image))


def test_a_teacher_that_learns_is_refused_batches_of_one_and_one_that_only_teaches_is_not(make_workspace, cpu):
    """DDRNet pools globally and normalises what it pools; the FPN, which is taught, does not."""
    alone = ("segmenter.network=fpn_efficientnet_lite0", "segmenter.batch=1")
    taught = train_segmenter(make_workspace(*FROM_SOURCE), 0, "source_only", Session(cpu))

    def begun(method):
        named = (f'segmenter.adaptation={{method = "{method}"}}', f'segmenter.teachers=["{taught}"]')
        workspace = make_workspace(*FROM_SOURCE, *alone, *named)
        return starting_segmenter(workspace, 0, "translated", None, cpu)

    assert begun("distillation").settings.threshold == 0.9
    with pytest.raises(UserError, match=r"batch is 1, with which the network of segmenter\.teachers cannot train"):
        begun("duda")


def test_a_start_from_a_published_network_keeps_its_input(make_workspace, cpu, tmp_path):
    """What its weights were made for goes along, into the checkpoints of the new training too."""
    name = make_workspace().experiment.segmenter.network
    (tmp_path / "net.pth").write_bytes(b"published")  # only hashed
    key, match = find_segmenter({"": NETWORKS[name]().state_dict()}, name)
    published = tmp_path / "published"
    told = SegmenterImport(given=parse_input("half"), align_corners=True)
    import_segmenter(tmp_path / "net.pth", key, match, published, told)
    workspace = make_workspace(*adapting("maxsquare", f"segmenter.initial={published}"))
    network, _, _ = load_segmenter(train_segmenter(workspace, 0, "translated", Session(cpu)), cpu)
    assert assumptions_of(network) == {"image_mean": [0.5] * 3, "image_std": [0.5] * 3, "align_corners": True}


def test_a_start_of_another_network_is_refused(make_workspace, cpu, tmp_path):
    other = make_workspace("segmenter.network=ppliteseg_t", *FROM_SOURCE, run=tmp_path / "other")
    run = train_segmenter(other, 0, "source_only", Session(cpu))
    with pytest.raises(CheckpointError, match=r"segmenter.initial: .* is a ppliteseg_t, whose weights do not fit"):
        train_segmenter(make_workspace(*adapting("dacs", f"segmenter.initial={run}")), 0, "translated", Session(cpu))


def test_how_many_labels_there_are_decides_the_outcome_of_a_semi_supervised_arm_alone(make_workspace):
    few, more = (make_workspace(*adapting("ass", f"labelled_target={number}")) for number in (1, 2))
    assert segmenter_inputs(few, 0, "translated") != segmenter_inputs(more, 0, "translated")
    assert segmenter_inputs(few, 0, "oracle") == segmenter_inputs(more, 0, "oracle")
    few, more = (make_workspace(*adapting("dacs", f"labelled_target={number}")) for number in (1, 2))
    assert segmenter_inputs(few, 0, "translated") == segmenter_inputs(more, 0, "translated")


def test_without_labels_of_the_target_a_semi_supervised_method_is_refused(make_workspace, cpu, tiny_config, tmp_path):
    root = tmp_path / "camera"
    shutil.copytree(tiny_config.parent / "frames/camera", root)
    for path in [path for path in root.rglob("*.png") if "label" in path.name.lower()]:
        path.unlink()
    workspace = make_workspace(
        *adapting("ass"), f'target=[{{reader = "cityscapes", name = "camera", root = "{root}"}}]'
    )
    with pytest.raises(NoInputsError, match="no target frame has a label map; the segmenter has nothing to learn from"):
        train_segmenter(workspace, 0, "translated", Session(cpu))
