"""An experiment's file as it was written: TOML, with what other files and other variants lend it put in its place.

    include = ["parts/carla.toml"]      # at the top: files to build on, by their paths from this one's folder
    replace = ["source"]                # of what they say this is not built on: what stands here counts alone

    [[variant]]
    name = "fda"
    like = "longer"                     # begins with that earlier variant's settings; its own are put over them

All three only save writing: what is checked, kept and compared afterwards is the whole text that they stand for.
"""

import copy
import tomllib
from collections.abc import Collection
from pathlib import Path
from typing import Any

from pipelines.data.disk.files import open_regular
from pipelines.errors import UserError
from pipelines.settings import from_home

LARGEST_CONFIG = 2**20
"""Bytes; what is larger was given by mistake."""
BUNDLED = Path("pipelines/configs")
"""What documents and messages call the folder of the packaged configs."""


def read_config_file(path: Path) -> dict[str, Any]:
    """Everything that a file says, with `include`, `replace` and `like` resolved.

    Tables of included files are merged key by key, and what a file says itself counts. Lists of tables, such as the
    sources and the variants, are joined: those of the included files first, in their order. A list or table that
    `replace` names, by its dotted key, is neither joined nor merged; an empty list leaves all of the included out.
    `pipelines/configs/NAME.toml` is the packaged file where there is none, so that documented commands work everywhere.

    Raises:
        UserError: A file is missing or is not TOML, includes itself, or includes, replaces or resembles nothing that is
            there; one line that names it.
    """
    content = _with_included(_or_packaged(path), ())
    _resolve_likenesses(content, path)
    return content


def _or_packaged(path: Path) -> Path:
    packaged = Path(__file__).parents[1] / "configs" / path.name
    return packaged if path == BUNDLED / path.name and not path.exists() and packaged.is_file() else path


def _with_included(path: Path, above: tuple[Path, ...]) -> dict[str, Any]:
    own = _read_toml(path, above[-1] if above else None)
    names = _texts(own, "include", 'files, such as ["parts/carla.toml"]', path)
    replaced = _texts(own, "replace", 'lists and tables by their keys, such as ["source"]', path)
    chain = (*above, path)
    whole: dict[str, Any] = {}
    for name in names:
        try:
            included = path.parent / from_home(name)
        except ValueError as error:
            raise UserError(f"config {path}: include: {error}") from error
        if included.resolve() in {one.resolve() for one in chain}:
            raise UserError(f"config {path}: include: {name} includes this file in its turn; leave one of them out")
        whole = _merged(whole, _with_included(included, chain))
    for key in replaced:
        if not _holds(own, key):
            raise UserError(
                f"config {path}: replace names {key!r}, which this file does not set itself; set it here, or leave it "
                "out of replace"
            )
        if not _holds(whole, key):
            raise UserError(f"config {path}: replace names {key!r}, which no included file sets; leave it out")
    return _merged(whole, own, replaced)


def _texts(own: dict[str, Any], key: str, expected: str, path: Path) -> list[str]:
    """Take a list of texts out of what a file says; empty where it says none."""
    texts = own.pop(key, [])
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise UserError(f"config {path}: {key}: expected a list of {expected}, got {texts!r}")
    return texts


def _holds(content: Any, key: str) -> bool:
    """Whether something stands at a dotted key."""
    for part in key.split("."):
        if not isinstance(content, dict) or part not in content:
            return False
        content = content[part]
    return True


def _merged(
    below: dict[str, Any], above: dict[str, Any], replaced: Collection[str] = (), parent: str = ""
) -> dict[str, Any]:
    """What stands in either, and of both what stands `above`; dotted keys begin with `parent`."""
    merged = dict(below)
    for key, value in above.items():
        there = below.get(key)
        if f"{parent}{key}" in replaced:
            merged[key] = value
        elif isinstance(there, dict) and isinstance(value, dict):
            merged[key] = _merged(there, value, replaced, f"{parent}{key}.")
        elif _is_tables(there) and _is_tables(value):
            merged[key] = there + value
        else:
            merged[key] = value
    return merged


def _is_tables(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(one, dict) for one in value)


def _resolve_likenesses(content: dict[str, Any], path: Path) -> None:
    """Give each variant the settings of the one that it is `like`. What is no variant at all is refused later."""
    variants = content.get("variant")
    if not _is_tables(variants):
        return
    if not all(isinstance(variant.get("name"), str) for variant in variants):
        for variant in variants:  # one without a name is refused later, and may be why another seems to be like none
            variant.pop("like", None)
        return
    settings: dict[str, dict[str, Any]] = {}
    for variant in variants:
        own = variant.get("settings", {})
        like = variant.pop("like", None)
        if like is not None:
            where = f"config {path}: variant {variant['name']}: like"
            if not isinstance(like, str) or like not in settings:
                known = ", ".join(settings) or "none"
                raise UserError(f"{where} names {like!r}, which is no variant before it; before it there are: {known}")
            if isinstance(own, dict):
                own = variant["settings"] = _put_over(settings[like], own)
        if isinstance(own, dict):
            settings[variant["name"]] = own


def _put_over(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """Settings by dotted key, in the order to be put: a key takes all that was said within it along."""
    kept = {key: value for key, value in below.items() if not any(f"{key}.".startswith(f"{own}.") for own in above)}
    return copy.deepcopy(kept) | above


def _read_toml(path: Path, includer: Path | None) -> dict[str, Any]:
    config = f"config {path}" if includer is None else f"config {includer}: include: {path}"
    try:
        with open_regular(path) as stream:
            data = stream.read(LARGEST_CONFIG + 1)
    except OSError as error:
        remedy = "bundled ones are in pipelines/configs" if includer is None else "check its path"
        raise UserError(f"{config}: cannot read: {error.strerror}; {remedy}") from error
    if len(data) > LARGEST_CONFIG:
        raise UserError(f"{config}: larger than {LARGEST_CONFIG // 1024} KiB, which no experiment is; give a TOML file")
    try:
        return tomllib.loads(data.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise UserError(f"{config}: line {line} is not UTF-8 text; save the file as UTF-8") from error
    except (ValueError, RecursionError) as error:
        raise UserError(f"{config}: not valid TOML: {error}") from error
