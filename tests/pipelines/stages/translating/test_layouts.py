"""Translators of layouts by their stages: trained on labelled target frames, given the source's label maps."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from pipelines.batch_inference.plan import PlannedFrame, plan_set
from pipelines.batch_inference.translation_options import TranslationOptions
from pipelines.data.disk.manifest import MANIFEST, read_manifest
from pipelines.data.images import read_image, write_image
from pipelines.data.labels.encodings import carla, cityscapes
from pipelines.engine.session import Session
from pipelines.errors import ImageError, NoInputsError, UserError
from pipelines.experiment.identity import translator_inputs
from pipelines.experiment.trained import load_translator
from pipelines.experiment.translators import Pix2pixHDSettings
from pipelines.stages.training.train_translator import train_translator
from pipelines.stages.training.training_run import note
from pipelines.stages.translating.layouts import label_table, read_layout, translate_layout
from pipelines.stages.translating.translate_experiment import prepared, run_translation, translate_experiment
from tests.pipelines.stages.translating.conftest import LAYOUTS
from tests.pipelines.test_end_to_end import assert_same

STEP = "translate.methods.pix2pixhd.Pix2pixHD.step"


def test_source_layouts_become_photos_that_carry_their_labels(trained, cpu):
    summary = translate_experiment(trained, 0, Session(cpu, 1))
    assert summary.made == 5 and not summary.failed
    entries = read_manifest(trained.translated(0) / MANIFEST)
    source = trained.labelled_source[0]
    for entry, frame in zip(entries, source.frames, strict=True):
        photo = read_image(trained.translated(0) / entry.image)
        assert photo.shape == read_image(frame.image).shape
        assert (trained.translated(0) / entry.label).read_bytes() == frame.label.read_bytes()


def test_the_photo_is_made_of_the_label_map_alone(trained, cpu):
    method, _ = load_translator(trained.translator(0), cpu)
    plan = plan_set(trained.labelled_source[0], trained.run / "elsewhere")
    things = torch.from_numpy(read_layout(plan[0])).long()[None]
    assert torch.equal(things[0], torch.from_numpy(trained.labelled_source[0].read_label_map(0)).long())
    photo = translate_layout(method, things)
    assert photo.shape == (1, 3, 32, 64)
    assert torch.equal(photo, method.translate(things, instance_map=things))


@pytest.mark.parametrize("instances", [True, False])
def test_what_was_trained_without_instances_is_used_without(make_workspace, cpu, no_cache, tmp_path, instances):
    """Its edges are those of labels; those of instances it has never seen."""
    workspace = make_workspace(*LAYOUTS, f"translator.instances={str(instances).lower()}")
    train_translator(workspace, 0, Session(cpu))
    frames = tmp_path / "in"
    write_image(frames / "a.png", np.zeros((32, 64, 3), np.uint8))
    label = frames / "a_gtFine_labelIds.png"
    write_image(label, np.full((32, 64), 26, np.uint8))
    photos, plans = [], []
    for beside in (False, True):
        if beside:
            cars = np.repeat([[26000] * 32 + [26001] * 32], 32, 0).astype(np.uint16)
            cv2.imwrite(str(frames / "a_gtFine_instanceIds.png"), cars)
        plan = [
            PlannedFrame(
                "a", frames / "a.png", Path("a.png"), Path("a.png"), label, cityscapes().to_json(), Path("l.png")
            )
        ]
        output = tmp_path / f"out{beside}"
        run_translation(workspace.translator(0), plan, output, TranslationOptions(), Session(cpu))
        photos.append(read_image(output / "a.png"))
        plans.append(json.loads((output / "translation.json").read_text()))
    assert np.array_equal(*photos) != instances
    assert "layout" not in plans[0] and plans[1].get("layout") == (None if instances else "without_instances")


def test_another_style_seed_draws_other_looks(trained, cpu):
    method, _ = load_translator(trained.translator(0), cpu)
    things = torch.from_numpy(read_layout(plan_set(trained.labelled_source[0], trained.run / "elsewhere")[0])).long()
    usual, again, *others = (
        prepared(method, TranslationOptions(style_seed=seed), cpu)(things[None]) for seed in (0, 0, *range(1, 6))
    )
    assert torch.equal(usual, again) and not all(torch.equal(usual, other) for other in others)
    assert (
        "style_seed" not in TranslationOptions().identity
        and TranslationOptions(style_seed=3).identity["style_seed"] == 3
    )


def test_a_style_seed_needs_a_translator_with_styles(make_workspace, cpu, no_cache):
    workspace = make_workspace(*LAYOUTS, "translator.style_features=0")
    train_translator(workspace, 0, Session(cpu))
    method, _ = load_translator(workspace.translator(0), cpu)
    with pytest.raises(UserError, match="--style-seed 3: this translator has learnt one look; leave it out"):
        prepared(method, TranslationOptions(style_seed=3), cpu)


def test_the_run_says_what_it_found_and_learns_from_labelled_target_frames_alone(trained, make_workspace, capfd):
    run = trained.translator(0)
    assert json.loads((run / "notes.json").read_text()) == {"instance_maps": None, "perceptual_loss": None}
    assert json.loads((run / "config.json").read_text())["frames"].keys() == {"labelled_target"}
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert rows[-1].keys() == {"step", "adversarial", "features", "discriminator"}


def test_few_labels_are_another_run(make_workspace):
    all_labels, few = make_workspace(*LAYOUTS), make_workspace(*LAYOUTS, "labelled_target=2")
    assert translator_inputs(all_labels, 0) != translator_inputs(few, 0)


def test_notes_are_kept(tmp_path):
    assert note(tmp_path, "a", 1) and note(tmp_path, "b", None)
    assert not note(tmp_path, "a", 1) and not note(tmp_path, "b", None)
    with pytest.raises(UserError, match=r"a: 1 then, 2 now"):
        note(tmp_path, "a", 2)


def test_without_labelled_target_frames_there_is_nothing_to_learn(make_workspace, cpu, tmp_path):
    write_image(tmp_path / "photos/0.png", np.zeros((32, 64, 3), np.uint8))
    folder = {"reader": "folder", "name": "photographs", "root": str(tmp_path / "photos")}
    workspace = make_workspace(*LAYOUTS)
    content = workspace.experiment.model_dump(mode="json") | {"target": [folder]}
    unlabelled = type(workspace)(type(workspace.experiment).model_validate(content), tmp_path, tmp_path / "run")
    with pytest.raises(NoInputsError, match="no target frame has a label map; pix2pixhd learns"):
        train_translator(unlabelled, 0, Session(cpu))


def test_a_label_out_of_range_is_named_with_its_file_before_the_first_step(make_workspace, cpu, tmp_path):
    image, label = tmp_path / "set/train/0.png", tmp_path / "set/trainannot/0.png"
    write_image(image, np.zeros((32, 64, 3), np.uint8))
    write_image(label, np.full((32, 64), 77, np.uint8))
    camvid = {"reader": "camvid", "name": "own", "root": str(tmp_path / "set")}
    workspace = make_workspace(*LAYOUTS)
    content = workspace.experiment.model_dump(mode="json") | {"target": [camvid]}
    other = type(workspace)(type(workspace.experiment).model_validate(content), tmp_path, tmp_path / "run")
    with pytest.raises(ImageError, match=r"trainannot/0\.png: holds unknown ids 77"):
        train_translator(other, 0, Session(cpu))
    assert not (other.translator(0) / "checkpoints").exists()


@pytest.mark.parametrize("at", [1, 2, 4])
@pytest.mark.slow
def test_a_killed_training_carries_on_to_the_same_bytes(commands, tiny_config, make_workspace, cpu, tmp_path, at):
    settings = (*LAYOUTS, "translator.perceptual_weight=0.0")  # the command looks into the cache of this machine
    undisturbed = make_workspace(*settings)
    train_translator(undisturbed, 0, Session(cpu))
    changed = [word for setting in settings for word in ("--set", setting)]
    arguments = ("translate", "train", tiny_config, "--run", tmp_path / "killed", "--threads", 1, "--workers", 0)
    assert commands(*arguments, *changed, trap={"call": STEP, "at": at}).code < 0
    finished = commands(*arguments, *changed)
    assert finished.code == 0, finished.stderr
    assert_same(tmp_path / "killed/seed-0/translator", undisturbed.translator(0))


class TestReadLayout:
    def frame(self, path, encoding):
        return PlannedFrame("0", path, path, path, path, encoding.to_json(), path)

    def test_simulator_tags_become_train_ids(self, tmp_path):
        tags = np.zeros((2, 2, 3), np.uint8)
        tags[..., 0] = [[1, 14], [0, 11]]  # road, car, unlabelled, sky
        write_image(tmp_path / "tags.png", tags)
        things = read_layout(self.frame(tmp_path / "tags.png", carla("0.9.14")))
        assert things.tolist() == [[0, 13], [255, 10]]

    def test_instances_beside_the_labels_are_used(self, tmp_path):
        label = tmp_path / "x_gtFine_labelIds.png"
        write_image(label, np.array([[7, 26, 26]], np.uint8))
        cv2.imwrite(str(tmp_path / "x_gtFine_instanceIds.png"), np.array([[7, 26000, 26001]], np.uint16))
        things = read_layout(self.frame(label, cityscapes()))
        assert (things & 255).tolist() == [[0, 13, 13]] and len(np.unique(things)) == 3
        assert read_layout(self.frame(label, cityscapes()), instances=False).tolist() == [[0, 13, 13]]

    def test_label_ids_of_cityscapes_stay_as_they_are_for_published_networks(self, tmp_path):
        label = tmp_path / "x_gtFine_labelIds.png"
        write_image(label, np.array([[1, 7, 26, 29]], np.uint8))  # bonnet, road, car, caravan
        frame = self.frame(label, cityscapes())
        assert read_layout(frame, label_table(35), label_ids=True).tolist() == [[1, 7, 26, 29]]
        assert read_layout(frame, label_table(35)).tolist() == [[0, 7, 26, 0]]
        write_image(label, np.array([[7, 99]], np.uint8))
        with pytest.raises(ImageError, match=r"labelIds\.png: holds unknown ids 99"):
            read_layout(frame, label_table(35), label_ids=True)

    def test_other_labels_reach_published_networks_by_way_of_the_train_ids(self, tmp_path):
        tags = np.zeros((1, 2, 3), np.uint8)
        tags[..., 0] = [[1, 14]]  # road, car
        write_image(tmp_path / "tags.png", tags)
        frame = self.frame(tmp_path / "tags.png", carla("0.9.14"))
        assert read_layout(frame, label_table(35), label_ids=True).tolist() == [[7, 26]]

    def test_a_frame_without_labels_is_named(self, tmp_path):
        path = tmp_path / "0.png"
        with pytest.raises(ImageError, match=r"0\.png.*no label map"):
            read_layout(PlannedFrame("0", path, path, path))


def test_the_authors_label_space():
    table = label_table(35)
    assert table[[0, 13, 18, 255]].tolist() == [7, 26, 33, 0]
    assert label_table(19) is None
    with pytest.raises(UserError, match="no label space has 20 labels"):
        label_table(20)


class TestSettings:
    def settings(self, **changes):
        return Pix2pixHDSettings(method="pix2pixhd", **changes)

    def test_defaults_are_the_papers(self):
        declared = self.settings().declared()
        assert declared.used_enhancers == 0 and declared.ignore_channel and declared.generator_channels == 64
        assert declared.pool_size == 0 and declared.scales == 2 and declared.feature_weight == 10
        assert self.settings(generator="local", labels=35).declared().used_enhancers == 1
        assert not self.settings(labels=35).declared().ignore_channel
        assert self.settings(crop=256).crop == (256, 256)

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"crop": 40}, "crop is 40x40; with 4 halvings in all, both sides must divide by 16 and be at least 32"),
            ({"crop": 32, "generator": "local"}, "with 5 halvings in all.*divide by 32 and be at least 64"),
            ({"global_steps": 5}, 'phases of the generator "local"'),
            ({"generator": "local", "global_steps": 90_000, "enhancer_steps": 90_000}, "do not fit into steps 100000"),
        ],
    )
    def test_contradictions_are_refused(self, changes, message):
        with pytest.raises(ValueError, match=message):
            self.settings(**changes)
