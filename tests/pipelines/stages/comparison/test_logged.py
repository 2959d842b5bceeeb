"""What a training logged."""

from pipelines.stages.comparison.logged import rows, training_seconds


def test_a_log_row_by_row(tmp_path):
    (tmp_path / "metrics.jsonl").write_text('{"step": 1, "main": 0.5}\n{"step": 2, "main": 0.25}\n')
    assert rows(tmp_path / "metrics.jsonl") == [{"step": 1, "main": 0.5}, {"step": 2, "main": 0.25}]


def test_all_steps_take_as_long_as_those_that_were_timed(tmp_path):
    """Steps 10 and 20 took 0.1 and 0.3 s, 0.2 s on average; 20 steps of that are 4 s."""
    (tmp_path / "timings.jsonl").write_text('{"step": 10, "seconds": 0.1}\n{"step": 20, "seconds": 0.3}\n')
    assert abs(training_seconds(tmp_path) - 4) < 1e-9
