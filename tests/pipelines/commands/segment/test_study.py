"""`sim2real segment study`: what it is given, and where it says its table and picture are."""

import pytest
from click.testing import CliRunner

from pipelines.commands.segment.study import study
from pipelines.errors import UserError

STUDY = """
[study]
networks = ["ddrnet23_slim"]
augmentation = { colour_jitter = 0.3 }
"""


def test_the_augmented_arms_settings_stand_beside_the_experiments(tiny_config, tmp_path, played, cpu):
    (tmp_path / "study.toml").write_text(tiny_config.read_text() + STUDY)
    studied = played("pipelines.stages.comparison.study_networks.study_networks", "the record")
    table = played("pipelines.report.networks.networks_table", "| network |")
    words = [str(tmp_path / "study.toml"), "--run", str(tmp_path / "run"), "--seeds", "2"]
    result = CliRunner().invoke(study, words, standalone_mode=False, catch_exceptions=False)
    run = tmp_path / "run"
    assert result.stdout == f"| network |\ntable: {run / 'networks.md'}; picture: {run / 'networks.svg'}\n"
    ((workspace, augmented, session),) = studied.given
    assert augmented.segmenter.colour_jitter == 0.3 != workspace.experiment.segmenter.colour_jitter
    assert workspace.experiment.compare.seeds == augmented.compare.seeds == (0, 1)
    assert session.machine.device.type == "cpu" and table.given == [("the record",)]


def test_a_config_without_networks_to_study_is_refused(on_tiny):
    with pytest.raises(UserError, match=r"has no \[study\] of networks"):
        on_tiny(study)


def test_a_dry_run_says_the_plan(tiny_config, tmp_path, played):
    (tmp_path / "study.toml").write_text(tiny_config.read_text() + STUDY)
    studied = played("pipelines.stages.comparison.study_networks.study_networks")
    words = [str(tmp_path / "study.toml"), "--run", str(tmp_path / "run"), "--dry-run"]
    said = CliRunner().invoke(study, words, standalone_mode=False, catch_exceptions=False).stdout
    assert said.count(": ddrnet23_slim, 3 steps") == 3 and said.endswith("dry run: nothing was trained\n")
    assert studied.given == [] and not (tmp_path / "run").exists()
