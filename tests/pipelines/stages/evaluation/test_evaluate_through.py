"""A segmenter on frames that were translated towards its own domain first, beside the same on frames as they are."""

from pathlib import Path

import pytest
import torch

from pipelines.errors import UserError
from pipelines.experiment.trained import load_translator
from pipelines.stages.evaluation import evaluate_through as evaluate_through_module
from pipelines.stages.evaluation.evaluate import EvaluationOptions, evaluate_checkpoint
from pipelines.stages.evaluation.evaluate_through import evaluate_through, format_both
from pipelines.stages.evaluation.scores import Evaluation
from segment.metrics.regions import confusion_matrix


def test_evaluation_through_a_translator(copied_run, make_workspace, session):
    workspace = make_workspace(run=copied_run)
    segmenter, translator = copied_run / "seed-0/source_only", copied_run / "seed-0/translator"
    through = evaluate_through(workspace, segmenter, translator, "target_to_source", session)
    (folder,) = (segmenter / "evaluation_through").iterdir()
    assert folder.name.startswith("target_to_source-")
    alone = evaluate_checkpoint(workspace, segmenter, session)
    assert through.names == alone.names
    assert torch.equal(through.confusions.sum((1, 2)), alone.confusions.sum((1, 2)))
    table = format_both(alone, through)
    assert table.splitlines()[0].split() == ["alone", "through", "change"]
    assert f"{alone.mean_iou():.3f}    {through.mean_iou():.3f}" in table


def test_evaluation_is_that_of_frames_translated_to_disk(copied_run, make_workspace, cpu, session):
    """Frames of the height that the network sees: the same as translating a folder and evaluating that."""
    from pipelines.data.images import to_image, to_tensor
    from pipelines.experiment.trained import load_segmenter
    from pipelines.runtimes.frame_prediction import open_predictor
    from pipelines.stages.evaluation.scores import read_prediction

    workspace = make_workspace(run=copied_run)
    segmenter, translator = copied_run / "seed-0/source_only", copied_run / "seed-0/translator"
    options = EvaluationOptions(output=copied_run / "out")
    through = evaluate_through(workspace, segmenter, translator, "target_to_source", session, options)
    method, _ = load_translator(translator, cpu)
    network, settings, _ = load_segmenter(segmenter, cpu)
    frames = workspace.validation[0]
    translated = to_image(method.translate(to_tensor(frames.read_image(0))[None], "target_to_source")[0])
    expected = open_predictor(network, settings.height, cpu)(translated, frames.read_label_map(0).shape)
    assert (read_prediction(copied_run / "out", through.names[0]) == expected).mean() > 0.99


def test_the_command_shows_both(commands, tiny_config, copied_run):
    finished = commands(
        "segment", "evaluate", tiny_config, "--run", copied_run, "--threads", 1,
        "--checkpoint", copied_run / "seed-0/source_only", "--through", copied_run / "seed-0/translator",
    )  # fmt: skip
    assert finished.code == 0, finished.stderr
    assert finished.stdout.split()[:3] == ["alone", "through", "change"] and "mIoU" in finished.stdout


def test_what_the_translator_has_not_learnt_is_refused(make_workspace, session, monkeypatch, tmp_path):
    """Nothing of the segmenter is read before that."""

    class OneWay:
        takes = "image"
        directions = ("source_to_target",)

    class OfLayouts(OneWay):
        takes = "label_map"

    for translator, learnt in ((OneWay(), "source_to_target"), (OfLayouts(), "label maps to images")):
        monkeypatch.setattr(evaluate_through_module, "load_translator", lambda path, machine: (translator, path))  # noqa: B023
        with pytest.raises(
            UserError, match=f"^--through G: this translator does not go target_to_source; it has learnt {learnt}$"
        ):
            evaluate_through(make_workspace(), tmp_path / "none", Path("G"), "target_to_source", session)


def test_a_table_of_the_classes_that_either_scored():
    """Road 1 of 2 pixels found, then all; car has no pixel in either."""
    alone, through = (
        Evaluation(
            ["a"], confusion_matrix(torch.tensor([[0, 0]]), torch.tensor([[0, seen]]))[None], [], list(range(19))
        )
        for seen in (1, 0)
    )
    rows = [line.split() for line in format_both(alone, through).splitlines()]
    assert rows[1] == ["road", "0.500", "1.000", "+0.500"] and rows[-1] == ["1", "frame"]
    assert not [row for row in rows if row[0] == "car"]
    # Sidewalk is seen in the frame as it is, wrongly, and counts there; after translation it is absent.
    assert rows[2] == ["sidewalk", "0.000", "–", "–"] and rows[3] == ["mIoU", "0.250", "1.000", "+0.750"]


def test_merged_classes_are_called_by_all_their_names():
    seen = confusion_matrix(torch.tensor([[0, 6]]), torch.tensor([[0, 7]]))[None]
    one = Evaluation(["a"], seen, [[6, 7]], [0, 6, 7])
    assert "traffic light + traffic sign  1.000    1.000  +0.000" in format_both(one, one)
