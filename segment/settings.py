"""Words for the settings that stand beside a method: ranges of numbers, names of choices, and their one check.

Settings are frozen dataclasses. A constructor that is handed some needs no second list of them, and a configuration
file's model is derived from them; both refuse the same values, because both read the annotations made of these words.
"""

import math
import operator
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

from annotated_types import BaseMetadata, Ge, Gt, Le, Lt, MultipleOf

PositiveInt = Annotated[int, Gt(0)]
NonNegativeInt = Annotated[int, Ge(0)]
PositiveFloat = Annotated[float, Gt(0)]
NonNegativeFloat = Annotated[float, Ge(0)]
Fraction = Annotated[float, Ge(0), Le(1)]
Decay = Annotated[float, Ge(0), Lt(1)]
"""The share of the old value at each update of a moving average, or of a momentum."""


@dataclass(frozen=True)
class OneOf:
    """Says, in an annotation, that a text is a key of a dict of the mathematics: OneOf("segment.losses.LOSSES").

    The dict is named and not handed over, so that settings are read without the networks and losses that it holds.
    """

    choices: str


@dataclass(frozen=True)
class Later:
    """Says, in an annotation, that a setting came when there were runs without it: at its default it changes nothing.

    What such a run is known by stays the same: the setting is left out of that.
    """


RANGES: dict[type[BaseMetadata], tuple[str, Callable[[Any, Any], bool]]] = {
    Gt: ("gt", operator.gt),
    Ge: ("ge", operator.ge),
    Lt: ("lt", operator.lt),
    Le: ("le", operator.le),
    MultipleOf: ("multiple_of", lambda value, unit: value % unit == 0),
}
WORDING = {Gt: "above {}", Ge: "at least {}", Lt: "below {}", Le: "at most {}", MultipleOf: "a multiple of {}"}


def check_settings(settings: Any) -> None:
    """Raise ValueError if a field of a settings dataclass lies outside what its annotation says; for `__post_init__`.

    Numbers are compared with their ranges, `Literal` with its values; what `OneOf` names is looked up where it is used.
    """
    hints = get_type_hints(type(settings), include_extras=True)
    for field in fields(settings):
        _check(field.name, getattr(settings, field.name), hints[field.name])


def _check(name: str, value: Any, annotation: Any) -> None:
    if get_origin(annotation) is Annotated:
        inner, *words = get_args(annotation)
        _check(name, value, inner)
        for word in words:
            if type(word) in RANGES and isinstance(value, int | float):
                attribute, holds = RANGES[type(word)]
                bound = getattr(word, attribute)
                if not holds(value, bound):
                    raise ValueError(f"{name} is {value}; it must be {WORDING[type(word)].format(bound)}.")
    elif get_origin(annotation) is Literal:
        if value not in get_args(annotation):
            raise ValueError(f"{name} is {value!r}; the valid values are {', '.join(map(str, get_args(annotation)))}.")
    elif type(None) in get_args(annotation):
        if value is not None:
            _check(name, value, next(one for one in get_args(annotation) if one is not type(None)))
    elif isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{name} is {value}; it must be a finite number.")
