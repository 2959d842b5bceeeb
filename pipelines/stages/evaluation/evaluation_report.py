"""The page of an evaluation, from its counts and from what the caller knows of how they were made."""

import math
from pathlib import Path

from pipelines.report.pages.evaluation_page import EvaluatedFrame, EvaluationPage, write_evaluation_page
from pipelines.stages.evaluation.evaluation_table import means
from pipelines.stages.evaluation.scores import ALL_CLASSES, PAGE, Evaluation


def report_evaluation(
    evaluation: Evaluation, output: Path, network: str, frame_sets: str, facts: list[tuple[str, str]]
) -> Path:
    """Write the page into the evaluation's folder.

    Args:
        evaluation: What was counted.
        output: Its folder.
        network: What was evaluated, for people.
        frame_sets: On what.
        facts: (name, value) of how it was made: command, date, machine.

    Returns:
        The page.
    """
    summary = evaluation.summary()
    total = evaluation.merged.sum(0)
    scored = evaluation.scored(ALL_CLASSES)
    inside = total[scored][:, scored]
    outside = total[scored].sum(1) - inside.sum(1)
    scores = zip(evaluation.names, evaluation.frame_scores(), strict=True)
    page = EvaluationPage(
        network=network,
        frame_sets=frame_sets,
        summary=summary,
        means=means(summary),
        classes=[(i, evaluation.title(i)) for i in scored],
        confusion=[[*row, void] for row, void in zip(inside.tolist(), outside.tolist(), strict=True)],
        frames=[EvaluatedFrame(name, score) for name, score in scores if math.isfinite(score)],
        facts=facts,
    )
    write_evaluation_page(page, output / PAGE)
    return output / PAGE
