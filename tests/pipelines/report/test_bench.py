"""The bench as a table, as JSON and as a picture."""

import json
from xml.etree import ElementTree as Tree

import pytest

from pipelines.errors import UserError
from pipelines.report.bench import Bench, BenchRow, bench_table, progress_line, read_scores, tradeoff_svg

ABOUT = {"parameters": 5_695_987, "gflops": 18.141, "width": 1024, "height": 512}


def row(name="ddrnet23_slim", way="eager", ms=100.0, **other):
    times = {"network_p50_ms": ms, "network_p90_ms": ms * 1.1, "network_cpu_ms": ms / 2, "whole_p50_ms": ms + 25,
             "whole_p90_ms": ms + 30, "whole_cpu_ms": ms / 2 + 9, "peak_mb": 321.4}  # fmt: skip
    return BenchRow(name=name, network=name, way=way, dtype="float32", **ABOUT, **(times | other))


def absent():
    return BenchRow(name="ddrnet23_slim", network="ddrnet23_slim", way="openvino", dtype="float32",
                    unavailable="openvino is not installed", **ABOUT)  # fmt: skip


def made(*rows, mean_iou=None):
    return Bench(list(rows), "AMD EPYC, 2 threads", 2, {"torch": "2.15"}, "sim2real segment bench", "2026-11-21", 3, 20,
                 mean_iou or {})  # fmt: skip


def test_the_table_by_hand():
    lines = bench_table(made(row(), absent())).splitlines()
    assert lines[2] == (
        "| ddrnet23_slim | 1024x512 | eager | float32 | 5.70 | 18.1 | 321 | 100.0 / 110.0 | 10.0 | 125.0 / 130.0 | 8.0 "
        "| 50.0 / 59.0 |"
    )
    assert lines[3].startswith("| ddrnet23_slim | 1024x512 | openvino | float32 | 5.70 | 18.1 | openvino is not instal")
    assert len({line.count("|") for line in lines[:4]}) == 1


def test_the_table_says_how_it_was_measured():
    table = bench_table(made(row()))
    for said in ("Batch 1", "3 images to warm up", "20", "AMD EPYC, 2 threads", "torch 2.15", "2026-11-21"):
        assert said in table


def test_scores_get_a_column_where_they_are_known():
    lines = bench_table(made(row(), row("lraspp"), mean_iou={"ddrnet23_slim": 0.7})).splitlines()
    assert [line.split("|")[-2].strip() for line in lines[:4]] == ["mIoU", "---", "0.700", "-"]


def test_a_checkpoints_own_score_goes_before_its_networks():
    one = BenchRow(name="runs/a", network="lraspp", way="eager", dtype="float32", **ABOUT)
    assert made(one, mean_iou={"runs/a": 0.6, "lraspp": 0.5}).score(one) == 0.6
    assert made(one, mean_iou={"lraspp": 0.5}).score(one) == 0.5


def test_json_holds_everything():
    content = json.loads(made(row(), absent(), mean_iou={"a": 0.5}).to_json())
    assert content["rows"][0]["network_p50_ms"] == 100.0 and content["rows"][1]["whole_p50_ms"] is None
    assert content["mean_iou"] == {"a": 0.5} and content["threads"] == 2


def test_progress_in_one_line():
    assert progress_line(row()) == (
        "ddrnet23_slim 1024x512 eager: 100.0 / 110.0 ms, with PNG and label map 125.0 / 130.0 ms (p50 / p90)"
    )
    assert progress_line(absent()) == "ddrnet23_slim 1024x512 openvino: openvino is not installed"


def test_the_picture_has_each_scored_networks_fastest_way():
    rows = row(), row(way="torch, fast", ms=40), row("lraspp", ms=60), row("unscored"), absent()
    svg = Tree.fromstring(tradeoff_svg(made(*rows, mean_iou={"ddrnet23_slim": 0.7, "lraspp": 0.6})))
    titles = [title.text for title in svg.iter("{http://www.w3.org/2000/svg}title")]
    assert titles == [
        "mIoU against milliseconds per image; AMD EPYC, 2 threads",
        "ddrnet23_slim 1024x512, torch, fast: 0.700 in 40.0 ms",
        "lraspp 1024x512, eager: 0.600 in 60.0 ms",
    ]


def test_without_scores_there_is_no_picture():
    assert tradeoff_svg(made(row())) is None
    assert tradeoff_svg(made(absent(), mean_iou={"ddrnet23_slim": 0.7})) is None


def result(name, mean_iou, **other):
    return {"name": name, "seed": 0, "mean_iou": mean_iou} | other


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ({"a": 0.5, "b": 1}, {"a": 0.5, "b": 1.0}),
        ({"results": [result("a", 0.25), result("a", 0.75), result("b", None)]}, {"a": 0.5}),
        ({"results": [{"network": "a", "arm": arm, "mean_iou": iou} for arm, iou in
                      (("oracle", 0.9), ("augmented", 0.4), ("source_only", 0.2))]}, {"a": 0.4}),
        ({"results": [{"network": "a", "arm": arm, "mean_iou": iou} for arm, iou in
                      (("source_only", 0.2), ("oracle", 0.9))]}, {"a": 0.9}),
    ],
)  # fmt: skip
def test_scores_of_every_kind_of_file(tmp_path, content, expected):
    (tmp_path / "scores.json").write_text(json.dumps(content))
    assert read_scores(tmp_path / "scores.json") == expected


@pytest.mark.parametrize("text", ["[1]", "{", '{"a": "high"}', '{"results": [1]}', '{"results": [{"mean_iou": 1}]}'])
def test_other_files_are_refused(tmp_path, text):
    (tmp_path / "scores.json").write_text(text)
    with pytest.raises(UserError, match=r"scores.json: expected JSON of name -> mIoU"):
        read_scores(tmp_path / "scores.json")


@pytest.mark.parametrize(("value", "told"), [("71.2", "71.2"), ("NaN", "nan"), ("-0.1", "-0.1")])
def test_a_score_that_is_no_mean_iou_is_refused(tmp_path, value, told):
    (tmp_path / "scores.json").write_text(f'{{"fine": 0.5, "net": {value}}}')
    with pytest.raises(UserError, match=f"scores.json: the mIoU of 'net' is {told}; expected one from 0 to 1"):
        read_scores(tmp_path / "scores.json")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UserError, match=r"none.json: No such file"):
        read_scores(tmp_path / "none.json")
