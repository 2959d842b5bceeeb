"""What labels of several kinds can tell apart, all of them."""

from pathlib import Path

from pipelines.data.frames import FrameSet
from pipelines.data.labels.encodings import LabelEncoding, camvid, cityscapes, idd_lite
from pipelines.data.labels.shared_classes import encodings_of, shared_classes
from pipelines.data.readers.layout import Frame
from segment.classes import CLASS_NAMES


def labelled_as(*encodings):
    """A set with a frame of each encoding; None: without a label map."""
    label = Path("0_label.png")
    frames = [Frame(f"{i}", Path("0.png"), one and label, one) for i, one in enumerate(encodings)]
    return FrameSet("set", Path("."), frames, [])


def encoded(name, train_ids, *merged):
    """An encoding of its own that shows these classes."""
    ids = dict(enumerate(train_ids))
    return LabelEncoding(name, {}, lambda stored: stored, ids=ids, merged=tuple(map(frozenset, merged)))


def test_cityscapes_and_camvid():
    shared = shared_classes([cityscapes(), camvid()])
    names = {CLASS_NAMES[i] for i in shared.scored}
    assert shared.groups == [[6, 7], [12, 18], [13, 14, 15]]
    assert {"sky", "rider", "traffic light"} <= names and not names & {"bicycle", "traffic sign", "terrain", "truck"}


def test_idd_lite_scores_its_seven_groups():
    """The two groups of one class, road and sky, need no joining; all 19 classes are in some group."""
    shared = shared_classes([idd_lite()])
    assert shared.scored == [0, 1, 2, 3, 10, 11, 13]
    assert sorted(i for group in shared.groups for i in group) == [i for i in range(19) if i not in (0, 10)]


def test_one_that_knows_all_classes_shares_them_all():
    shared = shared_classes([cityscapes()])
    assert (shared.groups, shared.labelled_ids, shared.scored) == ([], list(range(19)), list(range(19)))
    assert shared_classes([]).scored == list(range(19))


def test_a_group_is_shared_by_any_of_its_members():
    """The first cannot tell 6 from 7, the second 7 from 5: all three are one, which both know, as 4 is not."""
    shared = shared_classes([encoded("first", [4, 6, 9], {6, 7}), encoded("second", [7, 9], {5, 7})])
    assert shared.groups == [[5, 6, 7]] and shared.scored == [5, 9]


def test_other_members_stay_among_the_labelled_and_are_not_scored():
    shared = shared_classes([encoded("one", [0, 6, 7], {6, 7})])
    assert shared.labelled_ids == [0, 6, 7] and shared.scored == [0, 6]


def test_encodings_of_sets():
    sets = [labelled_as(cityscapes(), None), labelled_as(camvid(), cityscapes()), labelled_as(None)]
    assert encodings_of(sets) == {cityscapes(), camvid()} and encodings_of([]) == set()
