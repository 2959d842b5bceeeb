"""Ranges and choices in annotations, and the one check that reads them."""

import math
from dataclasses import dataclass
from typing import Annotated, Literal

import pytest
from annotated_types import Ge, Gt, Le, Lt, MultipleOf

from segment.settings import Decay, Fraction, NonNegativeInt, OneOf, PositiveFloat, PositiveInt, check_settings


@dataclass(frozen=True)
class Knobs:
    """One of each kind."""

    steps: PositiveInt = 3
    warmup: NonNegativeInt = 0
    rate: PositiveFloat = 0.1
    share: Fraction = 0.5
    decay: Decay | None = None
    crop: Annotated[int, MultipleOf(4)] = 8
    schedule: Literal["poly", "cosine"] = "poly"
    loss: Annotated[str, OneOf("segment.losses.LOSSES")] = "ohem"
    temperature: float = 1.0

    def __post_init__(self):
        check_settings(self)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"steps": 0}, "steps is 0; it must be above 0."),
        ({"warmup": -1}, "warmup is -1; it must be at least 0."),
        ({"rate": 0.0}, "rate is 0.0; it must be above 0."),
        ({"share": 1.01}, "share is 1.01; it must be at most 1."),
        ({"decay": 1.0}, "decay is 1.0; it must be below 1."),
        ({"crop": 6}, "crop is 6; it must be a multiple of 4."),
        ({"schedule": "step"}, "schedule is 'step'; the valid values are poly, cosine."),
        ({"temperature": math.nan}, "temperature is nan; it must be a finite number."),
        ({"rate": math.inf}, "rate is inf; it must be a finite number."),
    ],
)
def test_what_lies_outside_is_refused_by_name_and_bound(settings, message):
    with pytest.raises(ValueError) as refused:
        Knobs(**settings)
    assert str(refused.value) == message


@pytest.mark.parametrize(
    "settings",
    [{"share": 0}, {"share": 1}, {"decay": 0.0}, {"decay": None}, {"crop": 0}, {"schedule": "cosine"}, {"warmup": 0}],
)
def test_bounds_belong_to_the_range_where_they_say_so(settings):
    name, value = next(iter(settings.items()))
    assert getattr(Knobs(**settings), name) == value


def test_names_are_looked_up_where_they_are_used():
    """A settings class can be read without the losses that it names."""
    assert Knobs(loss="no such loss").loss == "no such loss"


def test_ranges_hold_together():
    @dataclass(frozen=True)
    class Between:
        value: Annotated[int, Ge(2), Lt(5), Gt(1), Le(4)]

    for value in (2, 4):
        check_settings(Between(value))
    for value, bound in ((1, "at least 2"), (5, "below 5")):
        with pytest.raises(ValueError, match=f"value is {value}; it must be {bound}"):
            check_settings(Between(value))
