"""Our figures are those of cityscapesScripts, from the files on: IoU and iIoU of classes and categories, and means.

On random frames, whose official figures are recorded too, and on real ones. The official evaluator is run as it is but
for `np.in1d`, which numpy 2.4 dropped and which it needs for iIoU.
"""

import copy
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from pipelines.data.frames import open_frame_set
from pipelines.data.images import encode_png, read_raw, write_image
from pipelines.data.readers.cityscapes import CityscapesSettings
from pipelines.stages.evaluation.evaluate_predictions import evaluate_predictions

DATA = Path(os.environ.get("SIM2REAL_DATA") or Path(__file__).parents[5] / "shared" / "data")
EVALUATED_IDS = np.array([7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33])


def write_frame(root, name, truth, instances, prediction):
    """A frame in the layout of Cityscapes, and what was predicted of it."""
    city = name.split("_")[0]
    write_image(root / f"leftImg8bit/val/{city}/{name}_leftImg8bit.png", np.zeros((*truth.shape, 3), np.uint8))
    for kind, values in (("labelIds", truth), ("instanceIds", instances)):
        path = root / f"gtFine/val/{city}/{name}_gtFine_{kind}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encode_png(values))
    path = root / f"results/{name}_anything.png"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(encode_png(prediction))


def official_figures(root, monkeypatch):
    """What cityscapesScripts says of the results in a folder."""
    if not hasattr(np, "in1d"):
        monkeypatch.setattr(np, "in1d", np.isin, raising=False)
    official = pytest.importorskip("cityscapesscripts.evaluation.evalPixelLevelSemanticLabeling")
    arguments = copy.copy(official.args)
    arguments.quiet, arguments.JSONOutput, arguments.evalInstLevelScore = True, False, True
    labels = sorted(str(path) for path in root.glob("gtFine/*/*/*_labelIds.png"))
    results = [next(str(p) for p in root.glob(f"results/{Path(label).name[:-20]}*.png")) for label in labels]
    return official.evaluateImgLists(results, labels, arguments)


def our_figures(root, split="val"):
    frames = open_frame_set(CityscapesSettings(reader="cityscapes", root=str(root), split=split), root)
    return evaluate_predictions([frames], root / "results", "label_ids", root / "out").summary()


def assert_scores_agree(ours, theirs):
    classes = list(ours["iou"])
    exactly = {"rel": 1e-12, "nan_ok": True}
    for mine, official in ((ours["iou"], "classScores"), (ours["instance_iou"]["classes"], "classInstScores")):
        expected = [theirs[official][name] for name in classes]
        assert [np.nan if mine[name] is None else mine[name] for name in classes] == pytest.approx(expected, **exactly)
    for mine, official in (
        (ours["category_iou"]["categories"], "categoryScores"),
        (ours["instance_iou"]["categories"], "categoryInstScores"),
    ):
        expected = [theirs[official][name] for name in mine]
        assert [np.nan if value is None else value for value in mine.values()] == pytest.approx(expected, **exactly)
    for mine, official in (
        (ours["mean_iou"], "averageScoreClasses"),
        (ours["instance_iou"]["mean"], "averageScoreInstClasses"),
        (ours["category_iou"]["mean"], "averageScoreCategories"),
        (ours["instance_iou"]["mean_of_categories"], "averageScoreInstCategories"),
    ):
        assert mine == pytest.approx(theirs[official], rel=1e-12)


@pytest.fixture
def random_frames(tmp_path):
    """Two pairs of truth and prediction in 8x8 blocks, with noise and void predictions; one instance per class."""
    random = np.random.RandomState(0)
    for index in range(2):
        truth = np.kron(random.choice(34, (16, 32)), np.ones((8, 8), int))
        noise = random.rand(*truth.shape)
        prediction = truth.copy()
        prediction[noise < 0.3] = random.choice(EVALUATED_IDS, (noise < 0.3).sum())
        prediction[noise > 0.95] = 0
        prediction[~np.isin(prediction, EVALUATED_IDS) & (prediction != 0)] = 7
        instances = np.where(truth >= 24, truth * 1000 + 1, truth)
        name = f"random_{index:06d}_000019"
        write_frame(tmp_path, name, truth.astype(np.uint8), instances.astype(np.uint16), prediction.astype(np.uint8))
    return tmp_path


def test_random_frames_score_as_officially(random_frames, monkeypatch):
    assert_scores_agree(our_figures(random_frames), official_figures(random_frames, monkeypatch))


def test_random_frames_score_what_was_recorded(random_frames):
    """Recorded scores keep the definitions in place where cityscapesScripts is not installed."""
    ours = our_figures(random_frames)
    assert ours["mean_iou"] == pytest.approx(0.518193910617344, rel=1e-12)
    assert ours["category_iou"]["mean"] == pytest.approx(0.5486134890132329, rel=1e-12)
    assert ours["instance_iou"]["mean"] == pytest.approx(0.6513329187254939, rel=1e-12)
    assert ours["pixel_accuracy"] == pytest.approx(0.6685929084380611, rel=1e-12)


def test_random_instances_score_as_officially(random_frames, monkeypatch):
    """Many instances of all sizes, some of them of caravans and trailers, which do not count."""
    random = np.random.RandomState(1)
    for path in random_frames.glob("gtFine/val/*/*_instanceIds.png"):
        ids = read_raw(path)
        numbers = np.kron(random.choice(300, (32, 64)), np.ones((4, 4), int)).astype(np.uint16)
        path.write_bytes(encode_png(np.where(ids >= 24000, ids - 1 + numbers, ids).astype(np.uint16)))
    assert_scores_agree(our_figures(random_frames), official_figures(random_frames, monkeypatch))


def test_real_frames_score_as_officially(tmp_path, monkeypatch):
    """The predictions are the labels moved aside, with stripes of other classes and of none."""
    folder = DATA / "cityscapes/gtFine/train/aachen"
    labels = sorted(folder.glob("*_labelIds.png"))
    if not labels:
        pytest.skip("no Cityscapes frames: set SIM2REAL_DATA to a folder that holds them")
    for index, path in enumerate(labels):
        truth = read_raw(path)
        prediction = np.roll(truth, 7 + index, axis=1)
        prediction[100:900:90] = EVALUATED_IDS[(index * 3) % 19]
        prediction[::171] = 0
        prediction[~np.isin(prediction, EVALUATED_IDS)] = 26
        prediction[500:520] = 0
        instances = read_raw(Path(str(path).replace("labelIds", "instanceIds")))
        write_frame(tmp_path, path.name[: -len("_gtFine_labelIds.png")], truth, instances, prediction)
    ours = our_figures(tmp_path)
    assert 0.3 < ours["mean_iou"] < 1 and ours["instance_iou"]["classes"]["car"] > 0.3
    assert_scores_agree(ours, official_figures(tmp_path, monkeypatch))


def test_without_an_instance_map_of_every_frame_there_is_no_iiou(random_frames):
    next(random_frames.glob("gtFine/val/*/*_instanceIds.png")).unlink()
    assert "instance_iou" not in our_figures(random_frames)


def test_label_train_ids_score_the_same(random_frames):
    """The other kind of label file has its instance map beside it, too."""
    table = np.full(256, 255, np.uint8)
    table[EVALUATED_IDS] = np.arange(19)
    for path in random_frames.glob("gtFine/val/*/*_labelIds.png"):
        Path(str(path).replace("labelIds", "labelTrainIds")).write_bytes(encode_png(table[read_raw(path)]))
    settings = {"reader": "cityscapes", "root": str(random_frames), "split": "val"}
    frames = open_frame_set(CityscapesSettings(labels_kind="labelTrainIds", **settings), random_frames)
    shutil.rmtree(random_frames / "out", ignore_errors=True)
    ours = evaluate_predictions([frames], random_frames / "results", "label_ids", random_frames / "out").summary()
    assert ours == our_figures(random_frames)
