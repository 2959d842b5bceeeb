"""`sim2real compare`: the seeds that it compares, and what it says in the end."""

from pipelines.commands.compare import compare


def test_the_table_and_where_the_report_is(on_tiny, played, tmp_path):
    compared = played("pipelines.stages.comparison.compare.compare", "the study")
    table = played("pipelines.report.tables.format_table", "arm  mIoU")
    said = on_tiny(compare, "--seeds", 2, "--workers", 0, "--restart", "--set", "translator.steps=2")
    assert said == f"arm  mIoU\nreport: {tmp_path / 'run/report.html'}\n"
    ((workspace, session),) = compared.given
    assert workspace.experiment.compare.seeds == (0, 1) and workspace.experiment.translator.steps == 2
    assert (session.workers, session.restart) == (0, True) and table.given == [("the study",)]


def test_a_dry_run_says_the_plan(on_tiny, played, tmp_path):
    compared = played("pipelines.stages.comparison.compare.compare")
    said = on_tiny(compare, "--dry-run").splitlines()
    assert [line.split(",")[0].split()[-1] for line in said[3:-1]] == [
        *("source_only", "oracle", "translator", "translated")
    ]
    assert said[-1] == "dry run: nothing was trained" and compared.given == [] and not (tmp_path / "run").exists()
