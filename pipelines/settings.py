"""The base of every settings model, and the one-line wording of what is wrong with a value.

Settings are frozen and refuse unknown keys, so an hour of training never ends in a typo.
"""

import dataclasses
import difflib
import inspect
import os
import re
from collections.abc import Iterable
from dataclasses import MISSING, fields
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, create_model, model_validator

from pipelines.declared import names_in
from segment.settings import Later, OneOf

Fraction = Annotated[float, Field(ge=0, le=1)]


def from_home(path: str) -> str:
    """A path whose home folder (~, or ~NAME) is written out; any other as it is. ValueError: nobody has that home."""
    whole = os.path.expanduser(path)
    if whole.startswith("~"):
        raise ValueError(f"{path}: there is no such home folder; write the path from the root on")
    return whole


FilePath = Annotated[str, AfterValidator(from_home)]
"""A setting that names a file or folder: relative to what the setting says, absolute, or from a home folder. Words that
a setting takes in a path's place stay as they are."""

SHOWN = 3
"""Problems told in one message; the rest is counted."""

CUTOFF = 0.6
"""Least likeness (difflib's ratio) of a key and the one that is suggested for it."""

TELLING_APART = ("reader", "method")
"""The keys by which settings of several kinds are told apart."""

EXPECTED = {
    "int_parsing": "a whole number",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_parsing": "a number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "bool_parsing": "true or false",
    "bool_type": "true or false",
    "string_type": "text in quotes",
    "tuple_type": "a list in brackets",
    "model_type": "a table of settings",
}
"""pydantic's type of error -> what it expected, in a TOML writer's words."""


class Settings(BaseModel):
    """Frozen; an unknown key, a NaN or an infinity is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _no_truth_for_a_number(cls, values: Any) -> Any:
        """pydantic would take `steps = true` for one step, and `seeds = [true]` for the seed 1."""
        for name, value in values.items() if isinstance(values, dict) else ():
            if name not in cls.model_fields or cls.model_fields[name].annotation is bool:
                continue
            if any(isinstance(one, bool) for one in (value if isinstance(value, list | tuple) else (value,))):
                raise ValueError(f"{name} is a setting that is not true or false, got {str(value).lower()}")
        return values


def decisive(settings: Settings) -> dict[str, Any]:
    """What of settings decides an outcome, as JSON: all but those that came `Later` and are at their defaults."""
    fields = type(settings).model_fields.items()
    later = [name for name, field in fields if any(isinstance(word, Later) for word in field.metadata)]
    unused = {name for name in later if getattr(settings, name) == type(settings).model_fields[name].default}
    return settings.model_dump(mode="json", exclude=unused)


def model_of(declared: type, name: str, base: type[Settings] = Settings, **more: Any) -> type[Settings]:
    """The model that reads a settings dataclass from a file: the same fields, defaults, ranges and checks.

    Args:
        declared: A frozen dataclass whose annotations are made of `segment.settings`' words.
        name: Of the model.
        base: What the model has besides; fields that it has already stay its own, but for those that the dataclass
            itself declares, and does not merely inherit.
        more: Further fields, as `pydantic.create_model` takes them.

    Returns:
        A model with `declared_values()`, the keyword arguments of such a dataclass, and `declared()`, an instance.
    """
    hints = get_type_hints(declared, include_extras=True)
    anew = inspect.get_annotations(declared)
    own = [field for field in fields(declared) if field.name in anew or field.name not in base.model_fields]
    described = {field.name: (_for_a_file(hints[field.name]), _default(field)) for field in own}
    names = tuple(field.name for field in fields(declared))

    def values(self: Settings) -> dict[str, Any]:
        """The keyword arguments of such a dataclass."""
        return {name: getattr(self, name) for name in names}

    def instance(self: Settings) -> Any:
        """The dataclass itself; ValueError as of its `__post_init__`."""
        return declared(**values(self))

    def check(self: Settings) -> Settings:
        """Itself, once the dataclass has found nothing to refuse."""
        instance(self)
        return self

    model = create_model(
        name,
        __base__=base,
        __module__=declared.__module__,
        __validators__={f"_as_{declared.__name__}": model_validator(mode="after")(check)},
        **described,
        **more,
    )
    model.declared_values, model.declared = values, instance
    return model


def _default(field: dataclasses.Field) -> Any:
    if field.default is not MISSING:
        return field.default
    return ... if field.default_factory is MISSING else Field(default_factory=field.default_factory)


def _for_a_file(annotation: Any) -> Any:
    """The annotation with names that are looked up in a dict spelt out, so that a message lists them."""
    kind, parts = get_origin(annotation), get_args(annotation)
    if kind is Annotated:
        choices = next((word.choices for word in parts[1:] if isinstance(word, OneOf)), None)
        return annotation if choices is None else Literal[names_in(choices)]
    if kind in (Union, UnionType):
        return Union[tuple(_for_a_file(part) for part in parts)]  # noqa: UP007  (made of a tuple)
    return annotation


def explain(error: ValidationError, model: Any) -> str:
    """The first problems of a pydantic error on one line, an unknown key with the nearest valid one.

    Args:
        error: As the validation raised it.
        model: The settings model that was validated, or a union of such models.
    """
    # By what the writer of the file sees: of a value that may be of several types there is a problem for each.
    found: dict[tuple[str, ...], list[Any]] = {}
    guessed = {guess for item in error.errors() if (guess := _meant(item, model))}
    # Unknown keys first: what is missing may be what they were meant to be, or to bring along.
    for item in sorted(error.errors(), key=lambda item: item["type"] != "extra_forbidden"):
        found.setdefault(_walk(tuple(item["loc"]), model)[0], []).append(item)
    problems: dict[str, None] = {}  # ordered, each once
    for keys, items in found.items():
        items = [item for item in items if item["type"] == "value_error"] or items  # ours say the most
        if any(keys == other[: len(keys)] and keys != other for other in found):
            continue  # a consequence: a list is "empty" once its entries were refused
        if items[0]["type"] == "missing" and keys in guessed:
            continue  # it is there, misspelt
        kinds = list(dict.fromkeys(EXPECTED[item["type"]] for item in items if item["type"] in EXPECTED))
        if len(items) > 1 and len(kinds) > 1:
            problems[f"{'.'.join(keys)}: expected {' or '.join(kinds)}, got {_short(items[0]['input'])}"] = None
        else:
            problems |= dict.fromkeys(_wording(item, keys, model) for item in items)
    told = list(problems)[:SHOWN]
    more = len(problems) - len(told)
    return "; ".join(told) + (f"; and {more} more" if more else "")


def _wording(item: Any, keys: tuple[str, ...], model: Any) -> str:
    where, kind, context = ".".join(keys), item["type"], item.get("ctx", {})
    if kind == "extra_forbidden":
        return f"unknown key {_clipped(where)}: {_nearest(keys[-1], _valid_keys(item['loc'], model))}"
    if kind == "missing":
        return f"{where} is missing"
    if kind in ("union_tag_not_found", "union_tag_invalid", "model_attributes_type"):
        return _wrong_kind(item, keys, model)
    prefix = f"{where}: " if where else ""
    if kind == "value_error":  # of our own validators, which say what they got
        return prefix + str(context["error"])
    if kind == "literal_error":
        near = difflib.get_close_matches(str(item["input"]), re.findall("'([^']*)'", context["expected"]), 1, CUTOFF)
        if near:
            return f"{prefix}{_short(item['input'])} is unknown: did you mean {near[0]}?"
        return f"{prefix}expected {context['expected']}, got {_short(item['input'])}"
    if kind in EXPECTED:
        return f"{prefix}expected {EXPECTED[kind]}, got {_short(item['input'])}"
    return f"{prefix}{re.sub('^[A-Z][a-z]+ should', 'must', item['msg'])}, got {_short(item['input'])}"


def _wrong_kind(item: Any, keys: tuple[str, ...], model: Any) -> str:
    """A table does not say, or not rightly, which of several kinds it is (which reader, which method)."""
    kinds = _walk(item["loc"], model)[1]
    key = next(name for name in TELLING_APART if all(name in kind.model_fields for kind in kinds))
    tags = {tag for kind in kinds for tag in _tags(kind)}
    if item["type"] == "model_attributes_type":
        tag = item["input"] if item["input"] in sorted(tags) else min(tags)  # which may be a list, and in no set
        return f'{".".join(keys)}: expected a table such as {{ {key} = "{tag}" }}, got {_short(item["input"])}'
    if item["type"] == "union_tag_invalid":
        tag = item["ctx"]["tag"]
        return f"{'.'.join((*keys, key))}: {tag!r} is unknown: {_nearest(tag, tags)}"
    if near := difflib.get_close_matches(key, map(str, item["input"]), n=1, cutoff=CUTOFF):
        return f"unknown key {'.'.join((*keys, near[0]))}: did you mean {key}?"
    return f"{'.'.join((*keys, key))} is missing: expected one of {', '.join(sorted(tags))}"


def _short(value: Any) -> str:
    return _clipped(repr(value))


def _clipped(text: str) -> str:
    return text if len(text) <= 60 else text[:57] + "..."


def _nearest(key: str, valid: Iterable[str]) -> str:
    valid = sorted(valid)
    near = difflib.get_close_matches(key, valid, n=1, cutoff=CUTOFF)
    return f"did you mean {near[0]}?" if near else f"expected one of {', '.join(valid)}"


def _meant(item: Any, model: Any) -> tuple[str, ...] | None:
    """Where a misspelt key would be if it were spelt right."""
    if item["type"] != "extra_forbidden":
        return None
    keys, _ = _walk(item["loc"], model)
    near = difflib.get_close_matches(keys[-1], _valid_keys(item["loc"], model), n=1, cutoff=CUTOFF)
    return (*keys[:-1], near[0]) if near else None


def _valid_keys(place: tuple[int | str, ...], model: Any) -> set[str]:
    _, models = _walk(place[:-1], model)
    return {name for candidate in models for name in candidate.model_fields}


def _walk(place: tuple[int | str, ...], model: Any) -> tuple[tuple[str, ...], set[type[BaseModel]]]:
    """A pydantic location as the writer of the file knows it (without the tags and types of unions), and the models
    valid there.
    """
    models, keys, of_types = _models_in(model), [], False
    for key in place:
        annotations = [candidate.model_fields[key].annotation for candidate in models if key in candidate.model_fields]
        tagged = {candidate for candidate in models if key in _tags(candidate)}
        if annotations:
            models = {found for annotation in annotations for found in _models_in(annotation)}
            of_types = not models and not any(get_origin(annotation) is dict for annotation in annotations)
        elif tagged:
            models = tagged
            continue
        elif of_types and isinstance(key, str):
            continue
        keys.append(str(key))
    return tuple(keys), models


def _tags(model: type[BaseModel]) -> set[str]:
    fields = [model.model_fields[name] for name in TELLING_APART if name in model.model_fields]
    return {str(value) for field in fields for value in getattr(field.annotation, "__args__", ())}


def _models_in(annotation: Any) -> set[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return {annotation}
    return {model for part in getattr(annotation, "__args__", ()) for model in _models_in(part)}
