"""`sim2real variants`: which of the config's variants are compared, and what is said in the end."""

from types import SimpleNamespace

import pytest
from click.testing import CliRunner

from pipelines.commands.variants import variants
from pipelines.errors import NumericalError, UserError

TABLES = """
[[variant]]
name = "short"
settings = { translator = { steps = 2 } }
[[variant]]
name = "long"
settings = { translator = { steps = 3 } }
"""


@pytest.fixture
def ask(tiny_config, tmp_path, cpu):
    """A function: more arguments -> what the command wrote to stdout."""
    (tmp_path / "two.toml").write_text(tiny_config.read_text() + TABLES)

    def run(*arguments):
        words = [str(tmp_path / "two.toml"), "--run", str(tmp_path / "run"), *arguments]
        result = CliRunner().invoke(variants, words, standalone_mode=False)
        if result.exception is not None:
            raise result.exception
        return result.stdout

    return run


@pytest.mark.parametrize(("only", "names"), [((), ["short", "long"]), (("--only", "long"), ["long"])])
def test_those_that_are_asked_for_are_compared(ask, played, tmp_path, only, names):
    compared = played("pipelines.stages.comparison.compare_variants.compare_variants", SimpleNamespace(stopped={}))
    played("pipelines.report.variant_tables.markdown_table", "| variant |")
    run = tmp_path / "run"
    assert ask(*only) == f"| variant |\ntables: {run / 'variants.md'}, page: {run / 'variants.html'}\n"
    ((chosen, session),) = compared.given
    assert chosen.rows() == names and session.machine.device.type == "cpu"


def test_a_dry_run_says_what_would_be_trained_of_those_asked_for(ask, played, tmp_path):
    compared = played("pipelines.stages.comparison.compare_variants.compare_variants")
    said = ask("--only", "long", "--seeds", "2", "--dry-run")
    assert [said.count(f" long, seed {seed}") for seed in range(3)] == [2, 2, 0]  # its translator and its network
    assert "short" not in said and said.endswith("dry run: nothing was trained\n")
    assert compared.given == [] and not (tmp_path / "run").exists()


def test_on_the_test_frames_in_files_of_their_own(ask, played, tmp_path):
    compared = played("pipelines.stages.comparison.compare_variants.compare_variants", SimpleNamespace(stopped={}))
    played("pipelines.report.variant_tables.markdown_table", "| variant |")
    test = '[{ reader = "toyworld", name = "last", renderer = "camera", frames = 2, size = [64, 32], seed = 9 }]'
    run = tmp_path / "run"
    said = ask("--test", "--set", f"test={test}")
    assert said.endswith(f"tables: {run / 'variants_test.md'}, page: {run / 'variants_test.html'}\n")
    (chosen, _), *_ = compared.given
    assert [frames.name for frames in chosen.base.validation] == ["last"]
    with pytest.raises(UserError, match=r"--test: experiment tiny has no \[\[test\]\] sets; add one to its config"):
        ask("--test")


def test_a_collapse_is_the_exit_code_after_the_tables(ask, played, tmp_path):
    study = SimpleNamespace(stopped={"long, seed 0": "step 3: main is nan"})
    played("pipelines.stages.comparison.compare_variants.compare_variants", study)
    written = played("pipelines.report.variant_tables.markdown_table", "| variant |")
    said = rf"^no result for long, seed 0, since training collapsed; {tmp_path}/run/variants\.md says what to change$"
    with pytest.raises(NumericalError, match=said):
        ask()
    assert written.given


def test_a_name_that_is_none_is_refused_before_anything_is_trained(ask):
    with pytest.raises(UserError, match="middle"):
        ask("--only", "middle")
