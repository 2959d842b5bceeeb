"""What each arm learns from: its own frames, drawn and augmented as every other arm's are."""

import torch

from pipelines.data.sampling.adaptation_batches import AdaptationBatches
from pipelines.data.sampling.batches import Draws, FramePool
from pipelines.experiment.arms import COMPARED
from pipelines.stages.training.segmenter_batches import adaptation_batches, labelled_batches, semi_supervised_batches
from segment.methods import METHODS

FROM_SOURCE = "segmenter.shares={ translated = 0.0, source = 1.0 }", "segmenter.batch=4"


def test_arms_learn_from_their_frames(make_workspace, tiny_run):
    workspace = make_workspace(run=tiny_run)
    pools = {arm: labelled_batches(workspace, 0, arm).pools for arm in COMPARED}
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


def test_on_the_device_workers_scale_and_crop_alone(make_workspace):
    both = [
        make_workspace("segmenter.style_from_target=1.0", f"segmenter.augment_on={where}")
        for where in ("workers", "device")
    ]
    in_workers, on_device = (labelled_batches(workspace, 0, "source_only")(0) for workspace in both)
    assert in_workers.style is None and on_device.style.shape == on_device.image.shape
    assert not torch.equal(in_workers.image, on_device.image)
    oracle = labelled_batches(both[1], 0, "oracle")
    assert oracle.style is None, "target frames have the target's looks"


def test_the_last_steps_of_a_mixture_are_of_the_target(make_workspace):
    settings = ("segmenter.shares={source = 0.5, target = 0.5, translated = 0.0}", "segmenter.last_steps_on_target=1")
    batches = labelled_batches(make_workspace(*settings), 0, "translated")
    assert batches.mixture.target_from_step == 2 and list(batches.pools) == ["source", "target"]
    assert labelled_batches(make_workspace(*settings), 0, "source_only").mixture.target_from_step is None


def test_batches_hold_target_frames_in_the_same_slots_whoever_makes_them(make_workspace):
    workspace = make_workspace(*FROM_SOURCE, 'segmenter.adaptation={ method = "dacs" }')
    batches = adaptation_batches(workspace, 0, "translated")
    assert isinstance(batches, AdaptationBatches) and METHODS["dacs"].learns_from == "adaptation"
    whole = batches(1)
    assert whole.target.shape == whole.source.image.shape == (4, 3, 32, 64)
    batches.source.draws = Draws(0, 4, range(2, 4))
    part = batches(1)
    assert torch.equal(part.target, whole.target[2:]) and torch.equal(part.source.image, whole.source.image[2:])


def test_a_semi_supervised_method_is_given_the_few_labelled_frames_and_no_others(make_workspace, cpu):
    workspace = make_workspace(*FROM_SOURCE, 'segmenter.adaptation={ method = "ass" }', "labelled_target=1")
    batches = semi_supervised_batches(workspace, 0, "translated")
    drawn = {frames.frames[index] for frames, index in batches.labelled_target.pools["target"].places}
    assert drawn == set(workspace.labelled_subset(0)[0].frames) and len(drawn) == 1
    whole = batches(1)
    assert whole.labelled_target.image.shape == whole.target.shape == (4, 3, 32, 64)
    assert whole.labelled_target.label_map.shape == (4, 32, 64)
    assert (whole.labelled_target.label_map != 255).any()
