"""Scores: by hand on a few pixels, then against cityscapesScripts and torchmetrics."""

import argparse
import math

import numpy as np
import pytest
import torch

from segment.classes import CATEGORIES, IGNORE_INDEX, TRAIN_IDS_13, TRAIN_IDS_16
from segment.metrics.regions import (
    accuracy_per_class,
    bootstrap_interval,
    confusion_matrix,
    count_groups,
    f1_per_class,
    frequency_weighted_iou,
    gap_closed,
    gap_interval,
    iou_per_class,
    mean_accuracy,
    mean_iou,
    paired_differences,
    pixel_accuracy,
    precision_per_class,
)

NAN = math.nan
EVALUATED_IDS = np.array([7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33])


def approximately(values):
    return pytest.approx(values, nan_ok=True, rel=1e-12)


# ------------------------------------------------------------------------------------------------------------ by hand


def three_classes():
    """Truth 0 0 1 1 ignored, prediction 0 1 1 none 2; class 2 is predicted on an ignored pixel only."""
    label_map = torch.tensor([0, 0, 1, 1, IGNORE_INDEX])
    return confusion_matrix(label_map, torch.tensor([0, 1, 1, IGNORE_INDEX, 2]), num_classes=3)


def test_confusion_counts_no_class_as_a_miss_and_skips_ignored_pixels():
    assert three_classes().tolist() == [[1, 1, 0, 0], [0, 1, 0, 1], [0, 0, 0, 0]]
    assert three_classes().dtype == torch.int64


def test_scores_by_hand():
    # Class 0: 1 of 2 pixels. Class 1: one hit, one miss, one false alarm, 1/3. Class 2 is absent.
    confusion = three_classes()
    assert iou_per_class(confusion).tolist() == approximately([1 / 2, 1 / 3, NAN])
    assert mean_iou(confusion).item() == approximately(5 / 12)
    assert accuracy_per_class(confusion).tolist() == approximately([1 / 2, 1 / 2, NAN])
    assert mean_accuracy(confusion).item() == approximately(1 / 2)
    assert pixel_accuracy(confusion).item() == approximately(2 / 4)


def test_precision_f1_and_weighted_iou_by_hand():
    # Class 0 is predicted once, rightly; class 1 twice, once rightly (2 is predicted on an ignored pixel only).
    # F1 of class 0: 2 * 1 * (1/2) / (3/2) = 2/3; of class 1: both are 1/2. Each class has half of the pixels.
    confusion = three_classes()
    assert precision_per_class(confusion).tolist() == approximately([1, 1 / 2, NAN])
    assert f1_per_class(confusion).tolist() == approximately([2 / 3, 1 / 2, NAN])
    assert frequency_weighted_iou(confusion).item() == approximately(1 / 2 * 1 / 2 + 1 / 2 * 1 / 3)
    assert math.isnan(frequency_weighted_iou(torch.zeros(3, 4, dtype=torch.int64)).item())


def test_what_is_confused_inside_a_group_is_right():
    # Truth 0 1 1 2, prediction 1 1 2 none: of the group {0, 1} two pixels are right and one is seen as {2}.
    confusion = confusion_matrix(torch.tensor([0, 1, 1, 2]), torch.tensor([1, 1, 2, 255]), num_classes=3)
    assert count_groups(confusion, [(0, 1), (2,)]).tolist() == [[2, 1, 0], [0, 0, 1]]
    assert count_groups(confusion, [(0, 1)]).tolist() == [[2, 1]]  # what is in no group is void


def test_the_categories_hold_every_class_once():
    assert sorted(train_id for members in CATEGORIES.values() for train_id in members) == list(range(19))


def test_a_class_that_is_only_predicted_scores_zero():
    confusion = confusion_matrix(torch.tensor([0, 0]), torch.tensor([0, 1]), num_classes=2)
    assert iou_per_class(confusion).tolist() == approximately([1 / 2, 0])


def test_a_subset_averages_fewer_classes_but_still_counts_confusion_with_the_others():
    label_map, prediction = torch.tensor([0, 9, 9]), torch.tensor([0, 0, 9])
    confusion = confusion_matrix(label_map, prediction)
    # Road has one hit and one false alarm on terrain; terrain itself, 1 of 2, is in neither subset.
    assert mean_iou(confusion).item() == approximately(1 / 2)
    assert mean_iou(confusion, TRAIN_IDS_16).item() == approximately(1 / 2)
    assert mean_iou(confusion, TRAIN_IDS_13).item() == approximately(1 / 2)
    assert math.isnan(mean_iou(confusion, [1, 2]).item())


@pytest.mark.parametrize(
    "score",
    [iou_per_class, mean_iou, accuracy_per_class, precision_per_class, f1_per_class, frequency_weighted_iou,
     mean_accuracy, pixel_accuracy],
)  # fmt: skip
def test_a_stack_of_matrices_gives_a_stack_of_scores(score):
    stack = torch.stack([three_classes(), three_classes().flip(0), torch.zeros(3, 4, dtype=torch.int64)])
    torch.testing.assert_close(score(stack), torch.stack([score(matrix) for matrix in stack]), equal_nan=True)


def test_bytes_are_counted_like_integers():
    label_map, prediction = torch.tensor([[0, 255], [1, 2]]), torch.tensor([[0, 1], [255, 2]])
    expected = confusion_matrix(label_map, prediction)
    assert torch.equal(confusion_matrix(label_map.byte(), prediction.byte()), expected)


def test_different_sizes_are_refused():
    with pytest.raises(ValueError, match="Upsample the logits to the size of the label map"):
        confusion_matrix(torch.zeros(4, 4), torch.zeros(2, 2))


def test_ids_that_are_no_train_ids_are_refused_and_named():
    with pytest.raises(ValueError, match="holds 19, 33; train ids are 0 to 18, and 255"):
        confusion_matrix(torch.tensor([0, 33, 19]), torch.zeros(3))


# ---------------------------------------------------------------------------------------------------------- comparisons


def test_gap_closed_by_hand():
    assert gap_closed(source_only=0.30, adapted=0.45, oracle=0.60) == pytest.approx(0.5)
    assert gap_closed(source_only=0.30, adapted=0.24, oracle=0.60) == pytest.approx(-0.2)
    assert math.isnan(gap_closed(source_only=0.60, adapted=0.60, oracle=0.60))


def found(*right):
    """(S, N, 1, 2): of S trainings and N images with ten pixels of one class each, how many are found."""
    return torch.tensor([[[[pixels, 10 - pixels]] for pixels in training] for training in right])


def test_the_interval_of_the_gap_that_is_closed_by_hand():
    """Alone the first image says (3 - 2) / (7 - 2), the second (5 - 2) / (7 - 2), and a quarter of the sets is either.

    With a second training that finds 4 in the first image, the mean there is 3.5: (3.5 - 2) / 5.
    """
    source_only, oracle = found([2, 2]), found([7, 7])
    assert gap_interval(source_only, found([3, 5]), oracle, seed=0) == approximately((0.2, 0.6))
    assert gap_interval(source_only, found([3, 5]), oracle, seed=0, level=0.2) == approximately((0.4, 0.4))
    low, high = (trainings.expand(2, -1, -1, -1) for trainings in (source_only, oracle))
    assert gap_interval(low, found([3, 5], [4, 5]), high, seed=0) == approximately((0.3, 0.6))


def test_there_is_no_interval_of_the_gap_where_it_may_be_none():
    """The second image's oracle is no better than source-only: a quarter of the sets has no gap."""
    assert gap_interval(found([2, 2]), found([3, 3]), found([7, 2]), seed=0) == approximately((NAN, NAN))
    assert gap_interval(found([2]), found([3]), found([7]), seed=0) == approximately((NAN, NAN))


def test_images_that_are_all_alike_leave_no_doubt():
    assert bootstrap_interval(three_classes().expand(10, 3, 4), seed=0) == approximately((5 / 12, 5 / 12))


def test_the_bootstrap_is_a_function_of_its_seed_and_holds_the_score():
    generator = torch.Generator().manual_seed(1)
    label_maps = torch.randint(0, 19, (40, 200), generator=generator)
    noise = torch.rand(40, 1, generator=generator) > torch.rand(40, 200, generator=generator)
    predictions = torch.where(noise, label_maps.roll(1, dims=1), label_maps)
    confusions = torch.stack([confusion_matrix(*pair) for pair in zip(label_maps, predictions, strict=True)])
    low, high = bootstrap_interval(confusions, seed=3)
    assert (low, high) == bootstrap_interval(confusions, seed=3)
    assert (low, high) != bootstrap_interval(confusions, seed=4)
    assert low < mean_iou(confusions.sum(0)).item() < high
    narrow_low, narrow_high = bootstrap_interval(confusions, seed=3, level=0.5)
    assert low < narrow_low < narrow_high < high


def test_two_images_by_hand():
    right, wrong = torch.tensor([[1, 0]]), torch.tensor([[0, 1]])
    # Half of the sets of two hold both images: one hit, one miss, 1/2. A quarter each holds one image twice: 1 or 0.
    assert bootstrap_interval(torch.stack([right, wrong]), seed=0) == (0, 1)
    assert bootstrap_interval(torch.stack([right, wrong]), seed=0, level=0.2) == (0.5, 0.5)


def test_one_image_says_nothing_about_others():
    low, high = bootstrap_interval(three_classes()[None], seed=0)
    assert math.isnan(low) and math.isnan(high)


def test_a_network_is_no_better_than_itself():
    confusions = three_classes().expand(5, 3, 4)
    same = paired_differences(confusions, confusions, seed=0)
    assert same.iou.tolist() == approximately([0, 0, NAN])
    assert same.iou_interval.tolist() == [approximately([0, 0, NAN])] * 2
    assert (same.mean_iou, same.mean_iou_interval) == (0, (0, 0))


def test_paired_differences_of_two_images_by_hand():
    """The first network finds class 0 in both images, the second in the first image alone: IoU 1 and 1/2.

    Of the sets of two, a quarter holds the first image twice (difference 0), a quarter the second (1), half both (1/2).
    """
    right, wrong = torch.tensor([[1, 0]]), torch.tensor([[0, 1]])
    pair = torch.stack([right, right]), torch.stack([right, wrong])
    ahead = paired_differences(*pair, seed=0)
    assert (ahead.iou.tolist(), ahead.mean_iou) == ([0.5], 0.5)
    assert ahead.iou_interval.tolist() == [[0], [1]] and ahead.mean_iou_interval == (0, 1)
    assert paired_differences(*pair, seed=0, level=0.2).iou_interval.tolist() == [[0.5], [0.5]]


def test_pairing_removes_what_makes_an_image_hard():
    """Images differ much, the networks always by one pixel of ten: that of the difference alone is narrow."""
    hits = torch.tensor([1, 3, 5, 7, 9, 2, 4, 6, 8, 5])
    counts = torch.stack([torch.stack([hits, 10 - hits], -1)], -2)  # (N, 1, 2)
    worse = counts + torch.tensor([[-1, 1]])
    low, high = bootstrap_interval(counts, seed=0)
    ahead = paired_differences(counts, worse, seed=0)
    assert high - low > 0.2
    assert ahead.iou_interval.flatten().tolist() == pytest.approx([0.1, 0.1])


def test_one_image_leaves_the_interval_open():
    alone = paired_differences(three_classes()[None], three_classes()[None], seed=0)
    assert alone.iou_interval.isnan().all() and math.isnan(alone.mean_iou_interval[0])


def test_other_labels_cannot_be_paired():
    with pytest.raises(ValueError, match="not counted on the same labels"):
        paired_differences(torch.tensor([[[1, 0]]]), torch.tensor([[[1, 1]]]), seed=0)


# ------------------------------------------------------------------------------------------------------------ oracles


@pytest.fixture(scope="module")
def label_id_pairs():
    """Two pairs of truth and prediction as Cityscapes label ids, in 8x8 blocks with noise and void predictions."""
    random = np.random.RandomState(0)
    pairs = []
    for _ in range(2):
        truth = np.kron(random.choice(34, (16, 32)), np.ones((8, 8), int))
        noise = random.rand(*truth.shape)
        prediction = truth.copy()
        prediction[noise < 0.3] = random.choice(EVALUATED_IDS, (noise < 0.3).sum())
        prediction[noise > 0.95] = 0
        prediction[~np.isin(prediction, EVALUATED_IDS) & (prediction != 0)] = 7
        pairs.append((truth.astype(np.uint8), prediction.astype(np.uint8)))
    return pairs


def train_ids(label_ids):
    table = torch.full((256,), IGNORE_INDEX)
    table[EVALUATED_IDS] = torch.arange(19)
    return table[torch.from_numpy(label_ids).long()]


@pytest.fixture(scope="module")
def confusion(label_id_pairs):
    return sum(confusion_matrix(train_ids(truth), train_ids(prediction)) for truth, prediction in label_id_pairs)


def test_scores_equal_those_of_cityscapesscripts(label_id_pairs, confusion, tmp_path, monkeypatch):
    if not hasattr(np, "in1d"):  # gone from numpy 2.4, which cityscapesScripts 2.2 does not know
        monkeypatch.setattr(np, "in1d", np.isin, raising=False)
    official = pytest.importorskip("cityscapesscripts.evaluation.evalPixelLevelSemanticLabeling")
    image = pytest.importorskip("PIL.Image")
    arguments = argparse.Namespace(
        evalLabels=list(range(34)), evalInstLevelScore=False, evalPixelAccuracy=False, normalized=False
    )
    matrix = official.generateMatrix(arguments)
    for index, (truth, prediction) in enumerate(label_id_pairs):
        paths = [str(tmp_path / f"{index}_{kind}.png") for kind in ("prediction", "truth")]
        image.fromarray(prediction).save(paths[0])
        image.fromarray(truth).save(paths[1])
        official.evaluatePair(*paths, matrix, {}, {}, arguments)
    scores = [official.getIouScoreForLabel(int(label_id), matrix, arguments) for label_id in EVALUATED_IDS]
    assert iou_per_class(confusion).tolist() == approximately(scores)
    assert mean_iou(confusion).item() == approximately(np.nanmean(scores))


def test_scores_equal_the_recorded_official_ones(confusion):
    """Recorded scores keep the definition in place where cityscapesScripts is not installed."""
    assert mean_iou(confusion).item() == approximately(0.518193910617344)
    assert pixel_accuracy(confusion).item() == approximately(0.6685929084380611)


def test_dropping_void_predictions_would_flatter(confusion):
    """The usual mistake: without the last column the score rises by two points."""
    dropped = confusion.clone()
    dropped[:, -1] = 0
    assert mean_iou(dropped).item() == approximately(0.5383656516055967)


def test_scores_equal_torchmetrics_where_nothing_is_void():
    classification = pytest.importorskip("torchmetrics.classification")
    generator = torch.Generator().manual_seed(0)
    label_map, prediction = torch.randint(0, 19, (2, 4, 32, 32), generator=generator)
    prediction = torch.where(torch.rand(4, 32, 32, generator=generator) < 0.6, label_map, prediction)
    label_map[:, :5] = IGNORE_INDEX
    jaccard = classification.MulticlassJaccardIndex(19, average="none", ignore_index=IGNORE_INDEX)
    accuracy = classification.MulticlassAccuracy(19, average="micro", ignore_index=IGNORE_INDEX)
    confusion = confusion_matrix(label_map, prediction)
    assert iou_per_class(confusion).tolist() == pytest.approx(jaccard(prediction, label_map).tolist(), rel=1e-6)
    assert pixel_accuracy(confusion).item() == pytest.approx(accuracy(prediction, label_map).item(), rel=1e-6)
