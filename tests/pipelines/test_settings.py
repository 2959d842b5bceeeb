"""Wording of what is wrong with settings: the key as its writer knows it, what was expected, what was found."""

from typing import Annotated, Literal

import pytest
from pydantic import Field, JsonValue, PositiveInt, TypeAdapter, ValidationError, model_validator

from pipelines.settings import FilePath, Settings, explain, from_home


class Folder(Settings):
    reader: Literal["folder"]
    images: str = "{name}.png"


class Simulator(Settings):
    reader: Literal["simulator"]
    version: str


AnySet = Annotated[Folder | Simulator, Field(discriminator="reader")]


class Pair(Settings):
    low: float = 0.0
    high: float = 1.0
    flip: bool = True

    @model_validator(mode="after")
    def _ordered(self):
        if self.low > self.high:
            raise ValueError(f"low is {self.low:g}, above high, {self.high:g}")
        return self


class Everything(Settings):
    sets: tuple[AnySet, ...] = Field(min_length=1)
    pair: Pair = Pair()
    steps: PositiveInt = 1
    loss: Literal["ohem", "cross_entropy"] = "ohem"
    seeds: tuple[int, ...] = ()
    labels: int | float | str | None = None
    weights: str | tuple[float, ...] = ""
    listed: int | FilePath = 1
    free: dict[str, JsonValue] = Field(default_factory=dict)


GOOD = {"sets": [{"reader": "folder"}]}


def explained(model=Everything, **values):
    with pytest.raises(ValidationError) as error:
        TypeAdapter(model).validate_python(values)
    return explain(error.value, model)


@pytest.mark.parametrize(
    ("wrong", "expected"),
    [
        ({"stps": 3}, "unknown key stps: did you mean steps?"),
        ({"pair": {"hihg": 3}}, "unknown key pair.hihg: did you mean high?"),
        ({"pair": {"zzz": 3}}, "unknown key pair.zzz: expected one of flip, high, low"),
        ({"sets": [{"reader": "folder", "imags": "x"}]}, "unknown key sets.0.imags: did you mean images?"),
        ({"sets": [{"reader": "simulator", "versoin": "1"}]}, "unknown key sets.0.versoin: did you mean version?"),
        ({"sets": [{"reader": "simulator"}]}, "sets.0.version is missing"),
        ({"sets": [{"reader": "fodler"}]}, "sets.0.reader: 'fodler' is unknown: did you mean folder?"),
        ({"sets": [{"raeder": "folder"}]}, "unknown key sets.0.raeder: did you mean reader?"),
        ({"sets": [{}]}, "sets.0.reader is missing: expected one of folder, simulator"),
        ({"sets": ["simulator"]}, "sets.0: expected a table such as { reader = \"simulator\" }, got 'simulator'"),
        ({"sets": [["simulator"]]}, "sets.0: expected a table such as { reader = \"folder\" }, got ['simulator']"),
        ({"sets": [5]}, 'sets.0: expected a table such as { reader = "folder" }, got 5'),
        ({"sets": []}, "sets: must have at least 1 item after validation, not 0, got []"),
        ({"sets": 5}, "sets: expected a list in brackets, got 5"),
        ({"steps": "many"}, "steps: expected a whole number, got 'many'"),
        ({"steps": 1.5}, "steps: expected a whole number, got 1.5"),
        ({"steps": 0}, "steps: must be greater than 0, got 0"),
        ({"steps": True}, "steps is a setting that is not true or false, got true"),
        ({"seeds": [1, True]}, "seeds is a setting that is not true or false, got [1, true]"),
        ({"loss": "focal"}, "loss: expected 'ohem' or 'cross_entropy', got 'focal'"),
        ({"loss": "cross_entrpy"}, "loss: 'cross_entrpy' is unknown: did you mean cross_entropy?"),
        ({"labels": [3]}, "labels: expected a whole number or a number or text in quotes, got [3]"),
        ({"labels": float("nan")}, "labels: expected a finite number or text in quotes, got nan"),
        ({"weights": 3}, "weights: expected text in quotes or a list in brackets, got 3"),
        ({"weights": [1, "x"]}, "weights.1: expected a number, got 'x'"),
        ({"pair": {"low": float("nan")}}, "pair.low: expected a finite number, got nan"),
        ({"pair": {"low": "x" * 99}}, f"pair.low: expected a number, got '{'x' * 56}..."),
        ({"pair": {"flip": "perhaps"}}, "pair.flip: expected true or false, got 'perhaps'"),
        ({"pair": 5}, "pair: expected a table of settings, got 5"),
        ({"pair": {"low": 3}}, "pair: low is 3, above high, 1"),
    ],
)
def test_says_where_what_was_expected_and_what_was_found(wrong, expected):
    assert explained(**GOOD | wrong) == expected


def test_three_problems_are_told_and_the_rest_counted():
    text = explained(**GOOD, steps=0, loss="x", pair={"low": "x", "high": "y", "middle": 2})
    assert text.count(";") == 3 and text.endswith("; and 2 more")


def test_settings_of_a_union_by_themselves():
    assert explained(AnySet, reader="simulator", versoin="1") == "unknown key versoin: did you mean version?"


def test_truth_is_no_number_and_numbers_in_text_are_numbers():
    """Settings of a reader come as text from the command line."""
    assert Everything.model_validate(GOOD | {"steps": "12"}).steps == 12
    assert Everything.model_validate(GOOD | {"pair": {"flip": False}}).pair.flip is False


def test_a_path_from_home_is_written_out(monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    assert from_home("~/weights.pth") == "/home/me/weights.pth" and from_home("~") == "/home/me"
    assert from_home("/a/~b") == "/a/~b" and from_home("./~b") == "./~b" and from_home("package") == "package"


def test_a_home_that_nobody_has_is_refused_where_a_setting_may_be_a_number_too():
    assert explained(**GOOD, listed="~nobody-of-this-name/list.txt") == (
        "listed: ~nobody-of-this-name/list.txt: there is no such home folder; write the path from the root on"
    )


def test_settings_are_frozen():
    with pytest.raises(ValidationError, match="frozen"):
        Pair().low = 3.0
