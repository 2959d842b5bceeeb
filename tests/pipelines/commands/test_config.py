"""`sim2real config`: an experiment's settings for people and programs, and what make compares."""

import json

import pytest
from click.testing import CliRunner

from pipelines.commands.config import config_inputs, config_show
from pipelines.errors import UserError


def shown(*arguments):
    result = CliRunner().invoke(config_show, [str(word) for word in arguments], standalone_mode=False)
    if result.exception is not None:
        raise result.exception
    return json.loads(result.stdout)


def test_every_setting_is_shown_defaults_included(tiny_config):
    settings = shown(tiny_config, "--set", "segmenter.batch=5")
    assert settings["name"] == "tiny" and settings["segmenter"]["batch"] == 5
    assert settings["translator"]["identity_weight"] == 0.5  # nobody set it


def test_a_setting_that_is_none_is_named_with_the_nearest(tiny_config):
    with pytest.raises(UserError, match=r"segmenter.bath.*batch"):
        shown(tiny_config, "--set", "segmenter.bath=5")


def test_what_make_compares_is_written_and_not_written_again(on_tiny, tmp_path):
    assert on_tiny(config_inputs, "--seed", 1) == ""
    files = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "run/inputs").iterdir()}
    assert files.keys() == {"report.json", "segmenter.json", "translation.json", "translator.json"}
    on_tiny(config_inputs, "--seed", 1)
    assert {path.name: path.stat().st_mtime_ns for path in (tmp_path / "run/inputs").iterdir()} == files
