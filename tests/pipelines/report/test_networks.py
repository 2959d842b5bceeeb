"""The table and picture of a study of networks: costs beside scores, in the order of what they reach."""

from dataclasses import replace

import pytest

from pipelines.report.networks import NetworkResult, NetworkStudy, networks_picture, networks_table
from pipelines.report.study import NetworkFacts


def facts(name, latency, size="64x32"):
    return NetworkFacts(
        parameters=1_234_567,
        gflops=2.04,
        input_size=size,
        latency_ms_p50=latency,
        latency_ms_p90=latency + 1.5,
        frames_per_second=1000 / latency,
        device="a CPU, 2 threads",
        name=name,
        measurement="single frames, 100 timed",
    )


def result(network, arm, seed, mean_iou):
    return NetworkResult(network, arm, seed, mean_iou, (mean_iou, mean_iou), [mean_iou], 10.0)


@pytest.fixture
def studied():
    return NetworkStudy(
        name="toy", command="sim2real segment study", date="2026-11-28", machine="two cores", versions={},
        validation="camera_val (4 frames)", settings={},
        facts={"slow": facts("slow", 50.0), "fast": facts("fast", 10.0)},
        results=[
            result("slow", "oracle", 0, 0.7), result("slow", "augmented", 0, 0.3),
            result("fast", "augmented", 1, 0.6), result("fast", "augmented", 0, 0.4),
        ],
    )  # fmt: skip


def test_scores_are_those_of_one_network_and_arm_by_seed(studied):
    assert studied.scores("fast", "augmented") == [0.4, 0.6] and studied.scores("fast", "oracle") == []


def test_a_row_states_costs_and_scores(studied):
    _, table, origin = networks_table(studied).rstrip().split("\n\n")
    heading, _, first, second = table.splitlines()
    assert heading.startswith("|  | M parameters | GFLOP at 64x32 | ms p50 / p90 | frames/s | real frames |")
    # 0.4 and 0.6: the mean 0.5, the deviation of a sample sqrt(2 * 0.1**2 / 1) = 0.141. What was not trained is a dash.
    assert first == "| fast | 1.23 | 2.0 | 10.0 / 11.5 | 100.0 | – | – | 0.500 ± 0.141 |"
    assert second == "| slow | 1.23 | 2.0 | 50.0 / 51.5 | 20.0 | 0.700 | – | 0.300 |"
    assert origin == "Command: `sim2real segment study`; machine: two cores; date: 2026-11-28."


def test_the_table_says_on_what_and_how_it_was_measured(studied):
    assert networks_table(studied).startswith(
        "Mean IoU on camera_val (4 frames), mean ± std over 2 seeds. Speed: single frames, 100 timed.\n\n"
    )


def test_names_do_not_steer_a_terminal_and_can_be_written(studied):
    table = networks_table(replace(studied, unusable={"camera": {"\udcff\x1b[2J.png": "empty"}}))
    assert "1 of camera (\ufffd\ufffd[2J.png)" in table and table.encode().endswith(b"\n")


def test_input_sizes_that_differ_are_not_named_in_the_heading(studied):
    studied.facts["fast"] = facts("fast", 10.0, size="128x64")
    assert "| GFLOP | " in networks_table(studied)


def test_a_mark_for_each_network_and_kind_of_frames(studied):
    picture = networks_picture(studied)
    assert "fast, source, augmented: 0.500 in 10.0 ms" in picture
    assert "slow, real frames: 0.700 in 50.0 ms" in picture and "slow, source, augmented: 0.300 in 50.0 ms" in picture
    assert picture.count(" ms</title>") == 3 and "a CPU, 2 threads" in picture
