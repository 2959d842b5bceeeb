"""The benchmark's recipe and table: what is compared is trained alike, and a row says what it stands for."""

import pytest

from benchmarks.encoders import CONTENDERS, WAYS, Contender, experiment, table


def test_all_contenders_have_one_budget_and_rates_that_follow_from_their_start():
    budgets = set()
    for contender in CONTENDERS:
        settings = experiment(contender, steps=30).segmenter
        rest = settings.learning_rate * settings.head_learning_rate
        assert rest == pytest.approx(2e-3)
        assert settings.learning_rate == (3e-4 if contender.encoder_weights else 2e-3)
        budgets.add((settings.steps, settings.batch, settings.crop, settings.height, settings.warmup_steps))
    assert budgets == {(30, 8, (256, 192), 240, 20)}


def test_a_row_has_start_costs_and_every_score():
    rows = [Contender("lraspp"), Contender("fpn_efficientnet_lite0", "package")]
    costs = {row.network: {"parameters": 3.2, "gflops": 7.9} | dict.fromkeys(WAYS, "90 (80)") for row in rows}
    costs["lraspp"]["openvino"] = None
    lines = table(rows, costs, {rows[0]: [0.25, 0.35], rows[1]: [0.5, 0.6]}, [3, 5]).splitlines()
    assert "| mIoU, seed 3 | mIoU, seed 5 | mean |" in lines[0]
    assert lines[2] == "| lraspp | random | 3.20 | 7.9 | 90 (80) | 90 (80) |  | 0.250 | 0.350 | 0.300 |"
    assert lines[3].startswith("| fpn_efficientnet_lite0 | ImageNet | 3.20 | ") and lines[3].endswith("| 0.550 |")
    assert table(rows[:1], costs, {}, [3, 5]).splitlines()[2].endswith("| 90 (80) | 90 (80) |  |")
