"""Every command of README and docs: its options and settings exist, what it names is there, and toy world runs it.

A page that tells of an option which was renamed is worse than none. A new line is checked without anything to be done;
it is run, too, unless NOT_RUN says why not.
"""

import os
import re
import shlex
import shutil
from collections import OrderedDict
from itertools import pairwise
from pathlib import Path

import click
import numpy as np
import pytest
import torch

from pipelines.cli import cli
from pipelines.data.images import write_image
from pipelines.errors import UserError
from pipelines.experiment.config import read_experiment
from pipelines.experiment.config_file import read_config_file
from pipelines.experiment.experiment import Experiment
from pipelines.settings import _models_in
from tests.pipelines.published import drawn, resnet

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
TEXTS = {str(page.relative_to(ROOT)): page.read_text(encoding="utf-8") for page in PAGES}
LAUNCHERS = re.compile(r"^(torchrun|srun)\b.*?(?=sim2real|\$\(which sim2real\))")
IN_REPOSITORY = re.compile(r"(?:docs|pipelines|segment|translate|tests|benchmarks)/[\w./-]*\w")
LEFT_OUT = "…"


def lines_of_code(text):
    """Every line of an indented or fenced block, lines that end in a backslash joined; comments are cut off."""
    joined = re.sub(r"\\\n\s*", " ", text)
    blocks = re.findall(r"^```(?:sh|bash|console)?\n(.*?)^```$", joined, re.MULTILINE | re.DOTALL)
    indented = re.findall(
        r"^    (?! )(.*)$", re.sub(r"^```.*?^```$", "", joined, flags=re.MULTILINE | re.DOTALL), re.MULTILINE
    )
    lines = [line for block in blocks for line in block.splitlines()] + indented
    return [re.sub(r"\s+#.*$", "", line).strip() for line in lines]


def commands_in(text):
    """(words after `sim2real`, whether it is a whole command) of each one in blocks and in the running text."""
    parts = [(part.strip(), True) for line in lines_of_code(text) for part in line.split(" &")]
    parts += [(span, False) for span in re.findall(r"(?<!`)`([^`\n]+)`(?!`)", text)]
    for part, is_block in parts:
        command = LAUNCHERS.sub("", part).replace("$(which sim2real)", "sim2real").removeprefix(".venv/bin/")
        if re.match(r"sim2real (?!\+)\S", command):
            words = shlex.split(command)[1:]
            words = words[: words.index(">")] if ">" in words else words  # where a shell puts what is printed
            yield words, is_block and LEFT_OUT not in words


COMMANDS = [(page, tuple(words), whole) for page, text in TEXTS.items() for words, whole in commands_in(text)]
DISTINCT = list(OrderedDict.fromkeys((words, whole) for _, words, whole in COMMANDS))
WHOLE = [words for words, whole in DISTINCT if whole]


def found(words):
    """The command that words name, and the rest of them."""
    command, rest = cli, list(words)
    while isinstance(command, click.Group) and rest and rest[0] in command.commands:
        command = command.commands[rest.pop(0)]
    return command, rest


def test_commands_are_found_on_the_pages():
    """The tests below are only as good as the reading of the pages."""
    assert len(COMMANDS) > 50 and len(WHOLE) > 30
    assert ("segment", "predict", "--checkpoint", "RUN", "--input", "frames/", "--output", "predictions/") in WHOLE
    text = (
        "Say `sim2real runs show RUN`:\n\n    sim2real a --b \\\n        c   # why\n\n    torchrun -- sim2real d … &\n"
    )
    whole, begun, spoken = commands_in(text)
    assert (whole, begun) == ((["a", "--b", "c"], True), (["d", "…"], False))
    assert spoken == (["runs", "show", "RUN"], False)


@pytest.mark.parametrize(
    ("words", "whole"), DISTINCT, ids=lambda value: " ".join(value) if isinstance(value, tuple) else ""
)
def test_the_command_and_its_options_exist(words, whole):
    command, rest = found(words)
    assert not (isinstance(command, click.Group) and rest and not rest[0].startswith("-")), f"no command {rest[0]!r}"
    known = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
    for word in rest:
        if word.startswith("--"):
            assert word.partition("=")[0] in {*known, "--help"}, f"{command.name} has no option {word}"
    if whole and not isinstance(command, click.Group):
        command.make_context(command.name, rest)  # raises where a value is none or something is missing


@pytest.mark.parametrize("words", [w for w, _ in DISTINCT if any(word.endswith(".toml") for word in w)], ids=" ".join)
def test_the_settings_that_a_command_changes_exist(words):
    config = next(word for word in words if word.endswith(".toml"))
    changes = tuple(value for option, value in pairwise(words) if option == "--set")
    bundled = config if config.startswith("pipelines/") else "pipelines/configs/toyworld.toml"
    read_experiment(ROOT / bundled, changes)  # raises where a setting is unknown, which is to be seen
    with pytest.raises(UserError, match="unknown key no_such_setting"):
        read_experiment(ROOT / bundled, (*changes, "no_such_setting=1"))


def anchors_of(text):
    """What GitHub calls the headings of a page in links to them."""
    headings = (
        re.sub(r"`|\[([^\]]*)\]\([^)]*\)", r"\1", line) for line in re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    )
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


LINKS = [
    (page, link) for page, text in TEXTS.items() for link in re.findall(r"\]\(([^)\s]+)\)", text) if ":" not in link
]


def test_every_link_leads_to_a_page_and_a_heading_of_it():
    assert len(LINKS) > 80
    lost = []
    for page, link in LINKS:
        place, _, anchor = link.partition("#")
        there = os.path.normpath(Path(page).parent / place) if place else page
        if not (ROOT / there).exists() or (anchor and anchor not in anchors_of(TEXTS[there])):
            lost.append(f"{page}: {link}")
    assert lost == []


def test_what_toy_worlds_config_expects_is_what_the_readme_has():
    """`make demo` is held against either; both are written by hand after a measurement."""
    lines = (ROOT / "pipelines/configs/toyworld.toml").read_text(encoding="utf-8").splitlines()
    header = " ".join(line.removeprefix("#").strip() for line in lines if line.startswith("#"))
    table = TEXTS["README.md"].split("**Toy world**")[1].split("\n## ")[0]
    seed_0 = dict(re.findall(r"^\| (source-only|translated|oracle|gap closed) \| ([\d.]+)", table, re.MULTILINE))
    scores = ", ".join(f"{arm} {seed_0[arm]}" for arm in ("source-only", "translated", "oracle"))
    assert f"with seed 0: {scores} mIoU; {seed_0['gap closed']} % of the gap closed" in header


def test_the_page_of_data_sets_says_whose_captures_the_configs_read():
    """CARLA has no standard set: without their origin nobody could repeat a figure that was made with them."""
    configs = [read_config_file(path) for path in (ROOT / "pipelines/configs").glob("*.toml")]
    roots = {a_set["root"] for config in configs for a_set in config["source"] if "root" in a_set}
    captures = {root for root in roots if root.startswith("carla/")}
    assert len(captures) >= 7
    told = set(re.findall(r"^\| `([^`]+)` \|", TEXTS["docs/data.md"], re.MULTILINE))
    assert [root for root in sorted(captures) if not {root, str(Path(root).parent)} & told] == []


def keys_in(model, seen):
    """Names of all settings of a model, and of those within it."""
    for one in _models_in(model) - seen:
        seen.add(one)
        yield from one.model_fields
        for field in one.model_fields.values():
            yield from keys_in(field.annotation, seen)


SETTING = re.compile(r"^(?:\[?\[[\w.]+\]\]? )?([a-z]\w*(?:\.\w+)*) = (?![\w.]+\()\S")
OF_PYTHON = {"docs/live.md", "docs/python.md", "docs/add-a-method.md"}
"""Pages whose blocks hold programs, in which names are set too."""


def test_the_settings_that_pages_show_exist():
    known, found, wrong = set(keys_in(Experiment, set())), set(), []
    for page, text in TEXTS.items():
        shown = [*(lines_of_code(text) if page not in OF_PYTHON else ()), *re.findall(r"`([^`\n]+)`", text)]
        named = {match[1] for line in shown if (match := SETTING.match(line))}
        found |= named
        wrong += [f"{page}: {name}" for name in sorted(named) if not set(name.split(".")) <= known]
    assert wrong == []
    assert {"keep_checkpoints", "bad_frames", "method", "guidance.expert"} <= found


@pytest.mark.parametrize("page", TEXTS)
def test_what_a_page_names_is_there(page):
    text, folder = TEXTS[page], (ROOT / page).parent
    linked = [target.partition("#")[0] for target in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in target]
    missing = [target for target in linked if target and not (folder / target).exists()]
    code = " ".join([*lines_of_code(text), *re.findall(r"`([^`\n]+)`", text)])
    new = {"segment/methods/bnm.py", "tests/segment/methods/test_bnm.py"}  # the page tells to write them
    missing += [path for path in IN_REPOSITORY.findall(code) if not (ROOT / path).exists() and path not in new]
    assert not missing, f"{page} names {missing[0]}, which is not there"


@pytest.mark.parametrize("page", TEXTS)
def test_headings_that_links_lead_to_are_there(page):
    folder = (ROOT / page).parent
    for target, heading in re.findall(r"\]\(([^)\s#]*)#([^)\s]+)\)", TEXTS[page]):
        text = (folder / target).read_text(encoding="utf-8") if target else TEXTS[page]
        titles = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
        assert heading in {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
MADE = sorted(
    {m for text in TEXTS.values() for m in re.findall(r"(?:^    |`)(make(?: [^`#\n]*)?)", text, re.MULTILINE)}
)


@pytest.mark.parametrize("line", MADE)
def test_the_target_and_its_variables_are_the_makefiles(line):
    for word in shlex.split(line)[1:]:
        variable = word.partition("=")[0]
        pattern = rf"^{variable} *\?=" if "=" in word else rf"^{word}(?: [\w-]+)*:"
        assert re.search(pattern, MAKEFILE, re.MULTILINE), f"the Makefile has no {word}"


SCRIPTS = sorted(
    {s for text in TEXTS.values() for s in re.findall(r"`python ((?:benchmarks|docs)/\S+\.py[^`\n]*)`", text)}
)


@pytest.mark.parametrize("line", SCRIPTS)
def test_the_options_of_a_script_are_its_own(line):
    script, *rest = shlex.split(line)
    source = (ROOT / script).read_text(encoding="utf-8")
    for option in (word for word in rest if word.startswith("--")):
        assert f'"{option}"' in source, f"{script} has no option {option}"


# --- run on toy world -------------------------------------------------------------------------------------------------

NOT_RUN = {
    "data check pipelines/configs/gta5_to_cityscapes.toml": "of GTA5; tests/pipelines/experiment/test_full_scale.py",
    "segment stream": "of a film; tests/pipelines/commands/test_stream.py runs it",
    "translate stream": "of a network camera; tests/pipelines/commands/test_stream.py runs it",
    "segment bench": "minutes: every runtime; tests/pipelines/commands/segment/test_bench.py runs it",
    "segment study": "trains networks of full width; tests/pipelines/stages/comparison/test_study_networks.py runs it",
    "segment train pipelines/configs/all_sources_20_labels.toml": "of IDD-lite; tests/pipelines/test_end_to_end.py",
    "translate distill pipelines/configs": "long; tests/pipelines/stages/comparison/test_distill.py runs it",
    "variants": "trains every method; tests/pipelines/stages/comparison/test_compare_variants.py runs it",
    "export": "half a minute each; tests/pipelines/commands/test_export.py runs it",
    "checkpoint import FILE": "the same as latest_net_G.pth",
    "checkpoint import latest_net_G.pth --clusters": "of pix2pixHD; tests/pipelines/pretrained has one",
    'segment train CONFIG --set segmenter.adaptation={method = "bnm"}': "of a method that the page tells to write",
}
"""Beginning of a command -> why it is not run here."""


@pytest.mark.parametrize("start", NOT_RUN)
def test_what_is_not_run_here_is_on_a_page_and_run_where_it_says(start):
    assert any(" ".join(words).startswith(start) for words in WHOLE), "no page shows it any more"
    paths = re.findall(r"tests/[\w/]+(?:\.py)?", NOT_RUN[start])
    assert all((ROOT / path).exists() for path in paths), NOT_RUN[start]


def is_run(words):
    return not any(" ".join(words).startswith(start) for start in NOT_RUN)


@pytest.fixture(scope="module")
def places(tmp_path_factory, tiny_run, tiny_config):
    """What the pages call CONFIG, RUN and so on, in a folder of its own."""
    here = tmp_path_factory.mktemp("documented")
    run = Path(shutil.copytree(tiny_run, here / "runs/mine"))
    for number in range(2):
        photo = np.random.default_rng(number).integers(0, 256, (32, 64, 3), dtype=np.uint8)
        write_image(here / f"frames/{number}.png", photo)
    torch.save(drawn(resnet()), here / "latest_net_G.pth")
    shutil.copytree(tiny_config.parent / "frames/camera", here / "cityscapes")
    predicted = here / "FOLDER"
    shutil.copytree(run / "seed-0/oracle/evaluation/predictions", predicted)
    seed = run / "seed-0"
    return here, {
        "CONFIG": tiny_config, "NET": seed / "translated_net", "TRANSLATOR": seed / "translator",
        "A": seed / "source_only", "B": seed / "oracle", "FOLDER": predicted,
    }  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("words", [words for words in WHOLE if is_run(words)], ids=" ".join)
def test_toy_world_runs_it(words, commands, places):
    here, named = places
    experiment = here / "runs/mine"
    run = "translator" if words[0] == "translate" else "translated_net"
    meant = named | {"RUN": experiment / "seed-0" / run}
    if words[:2] == ("checkpoint", "import"):
        meant["RUN"] = here / "imported"
    there = {word for word in words if ("/" in word or "." in word) and (here / word.partition("/")[0]).exists()}
    typed = [str(meant.get(word, here / word if word in there else word)) for word in words]
    for option in ("--output", "--submission"):
        if option in words and words[words.index(option) + 1] not in meant:
            place = typed.index(option) + 1
            typed[place] = str(here / f"made-{abs(hash(words))}" / words[place])
    command, _ = found(words)
    options = {name for parameter in command.params for name in parameter.opts}
    typed += ["--run", str(experiment)] if "--run" in options and "CONFIG" in words else []
    typed += [str(here / "runs")] if words == ("runs", "list") else []
    typed += ["--threads", "1"] if "--threads" in options else []
    finished = commands(*typed)
    assert finished.code == 0, finished.stderr
