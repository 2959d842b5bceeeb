"""`sim2real segment bench` as people type it."""

import json

import pytest

SMALL = ("--network", "ddrnet23_slim", "--size", 64, 48, "--warmup", 0, "--repeats", 2, "--threads", 1)


def test_every_option_in_one_run(commands, tmp_path, tiny_run):
    scores = tmp_path / "scores.json"
    scores.write_text(json.dumps({"ddrnet23_slim": 0.7}))
    run = next(tiny_run.glob("seed-*/source_only*"))
    done = commands(
        "segment", "bench", run, *SMALL, "--size", 96, 64, "--way", "eager", "--way", "torch, fast",
        "--scores", scores, "--output", tmp_path / "out", "--device", "cpu",
    )  # fmt: skip
    assert done.code == 0, done.stderr
    assert done.stdout.startswith("| network | size | way | dtype |") and "0.700" in done.stdout
    assert f"{run} 64x48 eager: " in done.stderr and "ddrnet23_slim 96x64 torch, fast: " in done.stderr
    record = json.loads((tmp_path / "out" / "bench.json").read_text())
    assert len(record["rows"]) == 2 * 2 * 2 and (record["warmup"], record["repeats"], record["threads"]) == (0, 2, 1)
    assert (tmp_path / "out" / "bench.md").read_text() == done.stdout
    assert (tmp_path / "out" / "bench.svg").read_text().startswith("<svg")


def test_scores_of_other_networks_are_said_to_be(commands, tmp_path):
    (tmp_path / "scores.json").write_text(json.dumps({"lraspp": 0.6, "stdc1": 0.7}))
    done = commands("segment", "bench", *SMALL, "--way", "eager", "--scores", tmp_path / "scores.json")
    said = f"--scores {tmp_path / 'scores.json'}: is of lraspp, stdc1, and none of ddrnet23_slim is among them\n"
    assert done.code == 0 and done.stderr.endswith(said)


def test_without_scores_there_is_no_picture(commands, tmp_path):
    done = commands("segment", "bench", *SMALL, "--way", "eager", "--output", tmp_path)
    assert done.code == 0, done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bench.json", "bench.md"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "nothing to measure: name a run folder or checkpoint, or --network NAME"),
        (("--network", "resnet"), "--network resnet: there is none of this name; choose from ddrnet23_slim"),
        (("--network", "all", "--size", "1024"), "Option '--size' requires 2 arguments"),
        (("--network", "all", "--size", "0", "4"), "0 is not in the range x>=1"),
        (("--network", "all", "--way", "fast"), "'fast' is not one of 'eager'"),
        (("--network", "all", "--repeats", 0), "0 is not in the range x>=1"),
        (("--network", "all", "--scores", "none.json"), "--scores none.json: No such file or directory"),
        (("--network", "all", "--device", "tpu"), "--device tpu: expected auto, cpu"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(commands, arguments, message):
    done = commands("segment", "bench", *arguments)
    assert done.code == 2
    assert message in done.stderr and len(done.stderr.splitlines()) == 1


def test_an_output_that_could_not_be_written_is_refused_before_the_work(commands, tmp_path):
    (tmp_path / "notes.txt").touch()
    done = commands("segment", "bench", tmp_path / "nowhere", "--output", tmp_path / "notes.txt/out")
    assert done.code == 6 and "notes.txt/out: cannot write: Not a directory" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_what_is_no_checkpoint(commands, tmp_path):
    done = commands("segment", "bench", tmp_path)
    assert done.code == 5 and len(done.stderr.splitlines()) == 1
