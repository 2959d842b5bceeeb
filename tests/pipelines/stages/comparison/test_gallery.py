"""The pictures of a comparison's report: which frames are shown."""

from dataclasses import replace

from pipelines.experiment.arms import COMPARED
from pipelines.stages.comparison.gallery import gather_pictures
from pipelines.stages.evaluation.scores import read_evaluation
from tests.pipelines.stages.comparison.test_compare import FOLDERS


def test_one_validation_frame_is_shown_as_the_best(tiny_run, make_workspace):
    """Of four, the two best and the two worst; one alone would be both."""
    whole = {(0, arm): read_evaluation(tiny_run / "seed-0" / FOLDERS[arm] / "evaluation") for arm in COMPARED}
    alone = {
        key: replace(one, names=one.names[:1], confusions=one.confusions[:1], drives=one.drives and one.drives[:1])
        for key, one in whole.items()
    }
    workspace = make_workspace(run=tiny_run)
    four, one = gather_pictures(workspace, whole), gather_pictures(workspace, alone)
    assert [len(four.best), len(four.worst)] == [2, 2]
    assert [picture.name for picture in one.best] == whole[0, "oracle"].names[:1] and one.worst == []
