"""What the files of the mathematics declare, read without running them: settings of methods, names of choices.

A config is read by commands that compute nothing, and torch takes seconds to import. Settings and names still stand
once, beside the method or in the dict that uses them: here the one dataclass or the keys of the one dict are taken from
the file's source. What a settings class needs must therefore be free of torch: the standard library, the words of
`segment.settings`, plain constants of the same file, and other settings classes.
"""

import ast
import sys
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
LIGHT = {"annotated_types", "segment.settings", "translate.choices", *sys.stdlib_module_names}
"""Modules that a settings class may import from: importing them takes no torch."""


@cache
def names_in(place: str) -> tuple[str, ...]:
    """The keys of a dict of the mathematics, in order: names_in("segment.losses.LOSSES").

    Raises:
        LookupError: There is no dict written out under that name.
    """
    module, _, name = place.rpartition(".")
    return tuple(_keys(module, _dict(module, name)))


@cache
def settings_of(methods: str, name: str) -> type | None:
    """The settings dataclass of a method, by the dict of methods and the method's name there; None if it has none.

    It equals the one beside the method in all but identity: equal fields, defaults, annotations and checks.
    """
    module, method = _class_of(methods, name)
    named = [node.value for node in method.body if _assigns(node, "Settings")]
    declared = [value.id for value in named if isinstance(value, ast.Name)]
    return _settings_class(module, declared[0]) if declared else None


@cache
def attribute_of(methods: str, name: str, attribute: str) -> Any:
    """An attribute of a method's class that is written out, such as its title; None where the class itself has none."""
    _, method = _class_of(methods, name)
    for node in method.body:
        if _assigns(node, attribute):
            with suppress(ValueError):  # a name or a call
                return ast.literal_eval(node.value)
    return None


@cache
def settings_class(place: str) -> type:
    """A settings dataclass by its full name."""
    module, _, name = place.rpartition(".")
    return _settings_class(module, name)


@cache
def _settings_class(module: str, name: str) -> type:
    return _settings_classes(module)[name]


@cache
def _settings_classes(module: str) -> dict[str, Any]:
    """All settings classes that a file defines, made by running these parts of it alone."""
    namespace: dict[str, Any] = {"__name__": module}
    kept: list[ast.stmt] = []
    for node in _tree(module).body:
        if isinstance(node, ast.ImportFrom) and node.module:
            if node.module.split(".")[0] in LIGHT or node.module in LIGHT:
                kept.append(node)
            else:
                namespace |= {
                    alias.name: _settings_class(node.module, alias.name)
                    for alias in node.names
                    if alias.name.endswith("Settings")
                }
        elif isinstance(node, ast.Import):
            kept += [node] if all(alias.name.split(".")[0] in LIGHT for alias in node.names) else []
        elif isinstance(node, ast.ClassDef) and node.name.endswith("Settings"):
            kept.append(node)
        elif isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant):
            kept.append(node)  # a bound that a check speaks of
    exec(compile(ast.Module(kept, []), str(_file(module)), "exec"), namespace)
    return namespace


@cache
def _tree(module: str) -> ast.Module:
    return ast.parse(_file(module).read_text(encoding="utf-8"))


def _file(module: str) -> Path:
    path = ROOT.joinpath(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def _dict(module: str, name: str) -> ast.Dict:
    for node in _tree(module).body:
        if _assigns(node, name) and isinstance(node.value, ast.Dict):
            return node.value
    raise LookupError(f"{module} has no dict {name} that is written out key by key")


def _keys(module: str, node: ast.Dict) -> Iterator[str]:
    for key, value in zip(node.keys, node.values, strict=True):
        if isinstance(key, ast.Constant):
            yield key.value
        elif key is None and isinstance(value, ast.Name):  # **ANOTHER
            its = dict(_imports(module)).get(value.id, module)
            yield from _keys(its, _dict(its, value.id))


def _class_of(methods: str, name: str) -> tuple[str, ast.ClassDef]:
    """The module and the class that a dict of methods has under a name."""
    place, _, variable = methods.rpartition(".")
    method = {key.value: value.id for key, value in _items(_dict(place, variable))}[name]
    module = dict(_imports(place)).get(method, place)
    for node in _tree(module).body:
        if isinstance(node, ast.ClassDef) and node.name == method:
            return module, node
    raise LookupError(f"{module} has no class {method}")


def _items(node: ast.Dict) -> Iterator[tuple[ast.Constant, ast.Name]]:
    for key, value in zip(node.keys, node.values, strict=True):
        if isinstance(key, ast.Constant) and isinstance(value, ast.Name):
            yield key, value


def _imports(module: str) -> Iterator[tuple[str, str]]:
    for node in _tree(module).body:
        if isinstance(node, ast.ImportFrom) and node.module:
            yield from ((alias.name, node.module) for alias in node.names)


def _assigns(node: ast.stmt, name: str) -> bool:
    if isinstance(node, ast.AnnAssign):
        return isinstance(node.target, ast.Name) and node.target.id == name and node.value is not None
    return isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == name for t in node.targets)
