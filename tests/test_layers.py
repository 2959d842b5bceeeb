"""The design, kept true: which package may import what, and which names no file may have.

segment and translate are mathematics, tensors in and tensors out. That is why a loss can be tested in two lines, why a
method runs unchanged under another engine, and why stage two knows translated frames only as files. The first import of
`os` or of a data set's name would end this quietly; so every import is read here, each rule with its reason.
"""

import ast
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("segment", "translate", "pipelines")
FILES = {
    path.relative_to(ROOT).as_posix(): path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))
}
MATHEMATICS = [name for name in FILES if not name.startswith("pipelines/")]
NOT_FOR_MATHEMATICS = {
    "os", "io", "pathlib", "shutil", "subprocess", "tempfile", "glob", "sys", "signal", "socket", "logging", "argparse",
    "cv2", "PIL", "skimage", "simplejpeg", "kornia_rs", "click", "tqdm", "jinja2", "pydantic", "tomllib", "safetensors",
    "torch.distributed", "torch.utils.data",
}  # fmt: skip
NOT_BELOW = {
    "segment": {"translate", "pipelines"},
    "translate": {"pipelines"},
    "pipelines": set(),
}
FLOORS = ("commands", "stages", "report", "batch_inference", "runtimes", "pretrained", "experiment", "engine", "data")
"""The folders of pipelines/, from top to bottom: each imports itself and those below."""
NAMELESS = {"utils", "util", "common", "core", "helpers", "helper", "misc"}


def imported(path):
    """Every module that a file imports anywhere in it, with its line: "torch.nn" for both ways to write it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from ((f"{node.module}.{alias.name}" if node.module else ".", node.lineno) for alias in node.names)


def within(module, packages):
    """The one of `packages` that `module` is or lies in, or None."""
    return next(
        (package for package in sorted(packages) if module == package or module.startswith(f"{package}.")), None
    )


MODULES = {name.removesuffix(".py").removesuffix("/__init__").replace("/", "."): name for name in FILES}
"""Name to import by -> file, of all that is ours."""


def module_of(imported_name, modules):
    """The module of ours that an import takes: the name itself, or what it is taken from; None if it is another's."""
    while imported_name and imported_name not in modules:
        imported_name = imported_name.rpartition(".")[0]
    return imported_name or None


def cycle_in(imports):
    """The modules of one import cycle, the first one again at the end; empty if there is none.

    Args:
        imports: Module -> the modules that it imports.
    """
    finished = set()

    def visit(module, path):
        if module in path:
            return [*path[path.index(module) :], module]
        if module not in finished:
            for other in sorted(imports[module]):
                if found := visit(other, [*path, module]):
                    return found
            finished.add(module)
        return []

    return next((found for module in sorted(imports) if (found := visit(module, []))), [])


def test_the_three_packages_are_there():
    assert {name.split("/")[0] for name in FILES} == set(PACKAGES)
    assert len(FILES) > 50, "the walk over the files is broken"


@pytest.mark.parametrize("name", FILES)
def test_imports_run_one_way(name):
    """pipelines -> translate -> segment. A loop would make it impossible to use, test or read one room without all."""
    for module, line in imported(FILES[name]):
        wrong = within(module, NOT_BELOW[name.split("/")[0]])
        assert wrong is None, (
            f"{name}:{line} imports {module}: {name.split('/')[0]} stands below {wrong}. "
            "Take what you need as an argument, or move the code up to the package that knows both"
        )


@pytest.mark.parametrize("name", [name for name in FILES if name.split("/")[1] in FLOORS])
def test_imports_run_down_the_floors_of_pipelines(name):
    """An import that runs up makes a loop of two floors: neither is read or tested without the other."""
    floor = FLOORS.index(name.split("/")[1])
    above = {f"pipelines.{one}" for one in FLOORS[:floor]}
    for module, line in imported(FILES[name]):
        wrong = within(module, above)
        assert wrong is None, (
            f"{name}:{line} imports {module}: {FLOORS[floor]}/ stands below {wrong.split('.')[1]}/. Take what "
            "you need as an argument, or move the code down to the floor that both may use"
        )


def test_the_floors_are_all_of_pipelines():
    """A folder that no rule knows would be where the next loop begins."""
    folders = {path.name for path in (ROOT / "pipelines").iterdir() if path.is_dir() and path.name[0] != "_"}
    assert folders == {*FLOORS, "configs", "slurm"}  # these two hold no Python


def test_no_imports_run_in_a_circle():
    """Modules that import each other are one module in several files: none is read, tested or moved without the rest.

    Imports within functions and for types alone count: they hide the circle from Python, not from the reader.
    """
    found = {
        module: {module_of(name, MODULES) for name, _ in imported(FILES[file])} - {None, module}
        for module, file in MODULES.items()
    }
    assert sum(map(len, found.values())) > 500, "the reading of imports is broken"
    circle = cycle_in(found)
    assert not circle, (
        f"{' imports '.join(circle)}. Move what they share into a module below them, or hand it over as an argument"
    )


def test_a_circle_of_imports_is_found():
    assert cycle_in({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == []
    assert cycle_in({"a": {"b"}, "b": {"c"}, "c": {"d", "b"}, "d": set()}) == ["b", "c", "b"]
    assert module_of("p.q.name", {"p", "p.q"}) == "p.q" and module_of("torch.nn", {"p"}) is None


@pytest.mark.parametrize("name", MATHEMATICS)
def test_mathematics_touches_no_disk_and_no_people(name):
    """Tensors in, tensors out: files, devices, processes, pictures and the command line belong to pipelines/."""
    for module, line in imported(FILES[name]):
        wrong = within(module, NOT_FOR_MATHEMATICS)
        assert wrong is None, (
            f"{name}:{line} imports {module}. Do this in pipelines/ (reading and writing in pipelines/data, devices in "
            "pipelines/engine) and pass the tensor, the number or the seed"
        )


@pytest.mark.parametrize("name", FILES)
def test_imports_are_absolute(name):
    """With `from .x import y` the rule above could be broken where no reader of this file would see it."""
    relative = [
        node.lineno
        for node in ast.walk(ast.parse(FILES[name].read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and node.level
    ]
    assert not relative, f"{name}:{relative[0]}: write the import in full, from {name.split('/')[0]}.…"


@pytest.mark.parametrize("name", FILES)
def test_every_file_has_a_noun_for_a_name(name):
    """A file named utils collects what nobody looked for a place for; then nobody finds it."""
    nameless = NAMELESS & set(Path(name).with_suffix("").parts)
    assert not nameless, f"{name}: name it after the thing in it (losses.py, image_pool.py), not {nameless.pop()}"


@pytest.mark.parametrize("name", [name for name in FILES if not name.endswith("/__init__.py")])
def test_a_modules_test_bears_its_name(name):
    """Whoever changes a module finds what it must do without a search, and sees what nobody has tested."""
    folder, _, file = name.rpartition("/")
    expected = f"tests/{folder}/test_{file}"
    assert (ROOT / expected).is_file(), (
        f"{name} has no {expected}. Write it, move there what other files test of it, or, where the module is too "
        "small to be tested alone, join it with its neighbour"
    )


@pytest.mark.parametrize("name", FILES)
def test_nothing_is_left_for_later(name):
    """A note to oneself in the code is read by nobody: do it, or open an issue."""
    marks = re.findall(r"\b(?:TODO|FIXME|XXX|NotImplementedError)\b", FILES[name].read_text(encoding="utf-8"))
    assert not marks, f"{name} holds {marks[0]}: finish it, or take it out and open an issue"


@pytest.mark.parametrize("name", [name for name in FILES if FILES[name].stat().st_size])
def test_every_file_opens_with_its_reason(name):
    """Three lines on top: what the file is for and whose idea it is."""
    assert ast.get_docstring(ast.parse(FILES[name].read_text(encoding="utf-8"))), f"{name} has no docstring on top"


def test_the_reader_of_imports_sees_them(tmp_path):
    """The rules above are only as good as `imported`: imports in functions, aliases and from-imports all count."""
    path = tmp_path / "x.py"
    path.write_text("import os.path as p\ndef f():\n    from torch import distributed\n    import cv2, sys\n")
    assert list(imported(path)) == [("os.path", 1), ("torch.distributed", 3), ("cv2", 4), ("sys", 4)]
    assert within("os.path", {"os"}) == "os" and within("osmium", {"os"}) is None
    assert NOT_FOR_MATHEMATICS - set(sys.stdlib_module_names) >= {"cv2", "click"}
