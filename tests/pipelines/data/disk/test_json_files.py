"""JSON files: what is written is read, and what is none is named."""

import pytest

from pipelines.data.disk.json_files import parse_json, read_json, write_json
from pipelines.errors import UserError


def test_what_is_written_is_read(tmp_path):
    write_json(tmp_path / "final.json", {"steps": [1, 2], "as": None})
    assert read_json(tmp_path / "final.json") == {"steps": [1, 2], "as": None}
    assert (tmp_path / "final.json").read_text() == '{\n "as": null,\n "steps": [\n  1,\n  2\n ]\n}\n'


def test_a_file_that_is_no_json_is_named(tmp_path):
    (tmp_path / "final.json").write_text("{")
    with pytest.raises(UserError, match=r"final\.json cannot be read \(.*\); remove it and run the command again"):
        read_json(tmp_path / "final.json")


def test_a_file_that_is_missing_is_not_to_be_removed(tmp_path):
    with pytest.raises(UserError, match=r"final\.json is not there; run the command that writes it again"):
        read_json(tmp_path / "final.json")


@pytest.mark.parametrize("text", ["", "{", b"\xff", "[" * 100_000, '{"a": 1} 2'])
def test_what_is_no_json_is_a_matter_of_its_value(text):
    with pytest.raises(ValueError):
        parse_json(text)
    assert parse_json(b'{"a": [1, null]}') == parse_json('{"a": [1, null]}') == {"a": [1, None]}
