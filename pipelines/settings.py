"""The base of every settings model, and the one-line wording of what is wrong with a value.

Settings are frozen and refuse unknown keys, so an hour of training never ends in a typo.
"""

import difflib
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError


class Settings(BaseModel):
    """Frozen; an unknown key, a NaN or an infinity is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)


def explain(error: ValidationError, model: type[BaseModel]) -> str:
    """The first problems of a pydantic error on one line, an unknown key with the nearest valid one."""
    problems = []
    for item in error.errors()[:3]:
        keys = [str(key) for key in item["loc"]]
        where = ".".join(keys)
        if item["type"] == "extra_forbidden":
            problems.append(_unknown_key(keys, model))
        elif item["type"] == "missing":
            problems.append(f"{where} is missing")
        else:
            problems.append(f"{where}: {item['msg']} (got {_short(item['input'])})" if where else item["msg"])
    more = len(error.errors()) - len(problems)
    return "; ".join(problems) + (f"; and {more} more" if more > 0 else "")


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _unknown_key(keys: list[str], model: type[BaseModel]) -> str:
    valid = sorted(_fields_at(keys[:-1], model))
    near = difflib.get_close_matches(keys[-1], valid, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]}?" if near else f"valid keys: {', '.join(valid)}"
    return f"unknown key {'.'.join(keys)}: {hint}"


def _fields_at(path: list[str], model: type[BaseModel]) -> set[str]:
    """The field names valid at a path; list positions and union tags along the way are looked through."""
    models = {model}
    for key in path:
        following = set()
        for candidate in models:
            field = candidate.model_fields.get(key)
            following |= _models_in(field.annotation) if field else {candidate}
        models = following
        tagged = {m for m in models if key in _tags(m)}
        models = tagged or models
    return {name for candidate in models for name in candidate.model_fields}


def _tags(model: type[BaseModel]) -> set[str]:
    field = model.model_fields.get("reader")
    return {str(value) for value in getattr(field.annotation, "__args__", ())} if field else set()


def _models_in(annotation: Any) -> set[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return {annotation}
    return {model for part in getattr(annotation, "__args__", ()) for model in _models_in(part)}
