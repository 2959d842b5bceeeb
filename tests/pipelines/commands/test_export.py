"""`sim2real export` as people type it: which options belong to which kind of checkpoint."""

import importlib.util

import numpy as np
import pytest
from click.testing import CliRunner
from torch import nn

from pipelines.commands.export import TypedPrecision, export
from pipelines.data.images import write_image
from pipelines.engine.checkpoints import save_checkpoint
from pipelines.errors import StorageError, UserError


@pytest.fixture(scope="module")
def translator(tiny_run):
    return next(tiny_run.glob("seed-*/translator"))


@pytest.fixture(scope="module")
def segmenter(tiny_run):
    return next(tiny_run.glob("seed-*/source_only*"))


def test_a_translator(commands, translator, tmp_path):
    done = commands(
        "export", "--checkpoint", translator, "--output", tmp_path / "m.pt2", "--direction", "target_to_source"
    )
    assert done.code == 0, done.stderr
    assert done.stdout.startswith(f"{tmp_path / 'm.pt2'}: largest difference 0.0")
    assert f"export to {tmp_path / 'm.pt2'}: converted, then compared with the network" in done.stderr


def test_a_translators_plain_weights(commands, translator, tmp_path):
    done = commands("export", "--checkpoint", translator, "--output", tmp_path / "G.pth")
    assert done.code == 0, done.stderr
    assert done.stdout == f"{tmp_path / 'G.pth'}: 36 tensors\n"


@pytest.mark.slow
@pytest.mark.parametrize("options", [(), ("--with-argmax",)])
def test_a_segmenter(commands, segmenter, tmp_path, options):
    done = commands("export", "--checkpoint", segmenter, "--output", tmp_path / "m.pt2", *options)
    assert done.code == 0, done.stderr
    assert "same class at 100.000% of pixels" in done.stdout
    assert ("largest error of a logit" in done.stdout) == (not options)


def test_options_of_the_other_kind_are_refused(commands, translator, segmenter, tmp_path):
    output = ("--output", tmp_path / "m.pt2")
    done = commands("export", "--checkpoint", translator, *output, "--with-argmax")
    assert done.code == 2 and "is a translator; leave it out" in done.stderr
    done = commands("export", "--checkpoint", segmenter, *output, "--direction", "source_to_target")
    assert done.code == 2 and "is a segmenter; leave it out" in done.stderr


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("m.engine", r"m\.engine: expected NAME\.onnx, .* or of a translator NAME\.pth"),
        ("folder.pt2", r"folder\.pt2 is a folder"),
        ("folder.pth", r"folder\.pth is a folder"),
    ],
)
def test_a_name_that_cannot_be_is_refused_before_anything_is_read(tmp_path, name, message):
    """So it is told of a checkpoint that is not there, too."""
    for suffix in ("pt2", "pth"):
        (tmp_path / f"folder.{suffix}").mkdir()
    with pytest.raises(UserError, match=f"^--output .*{message}"):
        typed("--checkpoint", tmp_path / "nowhere", "--output", tmp_path / name)


@pytest.mark.parametrize("suffix", ["onnx", "xml", "pt2", "pth"])
def test_so_is_a_place_where_nothing_can_be(tmp_path, suffix):
    (tmp_path / "notes.txt").touch()
    with pytest.raises(StorageError, match=r"notes\.txt: cannot write: Not a directory"):
        typed("--checkpoint", tmp_path / "nowhere", "--output", tmp_path / f"notes.txt/m.{suffix}")


def test_a_segmenters_weights_have_no_plain_form(commands, segmenter, tmp_path):
    done = commands("export", "--checkpoint", segmenter, "--output", tmp_path / "m.pth")
    assert done.code == 2 and "or of a translator NAME.pth" in done.stderr


def typed(*words):
    result = CliRunner().invoke(export, [str(word) for word in words], standalone_mode=False)
    if result.exception is not None:
        raise result.exception
    return result.stdout


STAGE = "pipelines.stages.export.export_{0}.export_{0}"


@pytest.fixture
def extras(monkeypatch):
    """As if all of them were installed, for tests that write nothing."""
    for module in ("pipelines.stages.export.export_formats", "pipelines.runtimes.conversion"):
        monkeypatch.setattr(f"{module}.require", lambda package, extra: None)


@pytest.mark.parametrize(
    ("missing", "extra", "name", "precision"),
    [
        ("nncf", "int8", "net.xml", "int8"),
        ("nncf", "int8", "net.onnx", "int8"),
        ("openvino", "openvino", "net.xml", "float32"),
        ("onnxscript", "export", "net.onnx", "half"),
    ],
)
def test_a_missing_extra_is_told_before_anything_is_read(monkeypatch, tmp_path, missing, extra, name, precision):
    """Not after minutes of reading frames; so it is told of a checkpoint that is not there, too."""
    found = importlib.util.find_spec
    of_extras = dict.fromkeys(("nncf", "onnx", "onnxruntime", "onnxscript", "openvino"), "there") | {missing: None}
    monkeypatch.setattr(
        "importlib.util.find_spec",
        lambda package, *more: of_extras[package] if package in of_extras else found(package, *more),
    )
    words = ("--checkpoint", tmp_path / "nowhere", "--output", tmp_path / name, "--precision", precision)
    frames = () if precision == "float32" else ("--frames", tmp_path)
    with pytest.raises(UserError, match=rf"^{missing} is not installed; pip install 'sim2real\[{extra}\]'$"):
        typed(*words, *frames)


def test_fewer_bits_are_judged_by_frames_of_a_folder(played, extras, translator, tmp_path):
    stage = played(STAGE.format("translator"), "near enough")
    write_image(tmp_path / "frames" / "a.png", np.zeros((8, 8, 3), np.uint8))
    output = tmp_path / "m.onnx"
    said = typed("--checkpoint", translator, "--output", output, "--precision", "int8", "--frames", tmp_path / "frames")
    assert said == f"{output}: near enough\n"
    ((*given, fewer),) = stage.given
    assert given == [translator, output, "source_to_target"]
    assert (fewer.precision, fewer.must_be_faster) == ("int8", True)
    assert [frame.image for one in fewer.sets for frame in one.frames] == [tmp_path / "frames" / "a.png"]


@pytest.mark.parametrize(
    ("kind", "direction", "domain"),
    [("segmenter", (), "camera"), ("translator", (), "game"), ("translator", ("target_to_source",), "camera")],
)
def test_fewer_bits_are_judged_by_frames_of_the_experiment(
    played, extras, request, tiny_config, tmp_path, monkeypatch, kind, direction, domain
):
    """A segmenter by frames of the target; a translator by frames of the side that it starts from."""
    monkeypatch.chdir(tmp_path)
    stage, words = played(STAGE.format(kind)), ("--direction", *direction) if direction else ()
    run, half = request.getfixturevalue(kind), ("--precision", "half", "--frames", tiny_config, "--for-elsewhere")
    typed("--checkpoint", run, "--output", tmp_path / "m.xml", *words, *half)
    fewer = stage.given[0][-1]
    assert (fewer.precision, fewer.must_be_faster) == ("half", False)
    assert all(domain in str(one.root) for one in fewer.sets) and fewer.sets


BACK = "target_to_source"
STUDENTS_OWN = f"""
[translator]
method = "student"
teacher = "there"
teacher_direction = "{BACK}"
"""


@pytest.mark.parametrize(
    ("stage", "settings", "its_own_config", "domain"),
    [
        ("translator", {"teacher_direction": BACK}, False, "camera"),
        ("translator", {"teacher_direction": BACK}, True, "game"),
        ("translator", {"teacher_direction": "source_to_target"}, False, "game"),
        ("segmenter", {}, True, "camera"),
    ],
)
def test_a_student_is_judged_by_the_frames_that_it_sees(
    played, extras, tiny_config, tmp_path, monkeypatch, stage, settings, its_own_config, domain
):
    """One of the way back has the experiment's sets the other way round; in a config of its own they are as it says."""
    monkeypatch.chdir(tmp_path)
    config = tmp_path / "own.toml"
    tables = tiny_config.read_text()
    config.write_text(tables.partition("[translator]")[0] + STUDENTS_OWN if its_own_config else tables)
    about = {"stage": stage, "settings": settings}
    run = save_checkpoint(tmp_path / "run/checkpoints", 1, nn.Conv2d(3, 3, 1), {}, about)
    exported = played(STAGE.format(stage))
    typed("--checkpoint", run, "--output", tmp_path / "m.xml", "--precision", "int8", "--frames", config)
    fewer = exported.given[0][-1]
    assert all(domain in str(one.root) for one in fewer.sets) and fewer.sets


def test_frames_are_a_folder_or_a_config(tmp_path):
    (tmp_path / "frame.png").touch()
    for given in ("nowhere", "frame.png"):
        with pytest.raises(UserError, match=rf"^--frames .*{given}: expected a folder of frames or an experiment's"):
            TypedPrecision("half", tmp_path / given, None, False)
    for given in (tmp_path, tmp_path / "nowhere.toml"):  # of a config the command speaks as all commands do
        TypedPrecision("half", given, None, False)


def test_the_folder_of_data_is_for_a_configs_sets(tmp_path):
    TypedPrecision("half", tmp_path / "any.toml", tmp_path, False)
    for precision, frames in (("half", tmp_path), ("float32", None)):
        with pytest.raises(UserError, match=r"^--data .* is for the sets of a config, --frames NAME\.toml; leave"):
            TypedPrecision(precision, frames, tmp_path, False)


def test_float32_needs_no_frames_and_fewer_bits_do(translator, tmp_path):
    words = ("--checkpoint", translator, "--output")
    with pytest.raises(UserError, match=r"--frames and --for-elsewhere belong to --precision half and int8"):
        typed(*words, tmp_path / "m.onnx", "--for-elsewhere")
    with pytest.raises(UserError, match=r"--precision int8 is judged by frames; name a folder .* with --frames"):
        typed(*words, tmp_path / "m.onnx", "--precision", "int8")
    with pytest.raises(UserError, match=r"m\.pth: half and int8 are for NAME\.onnx and NAME\.xml; choose one of them"):
        typed(*words, tmp_path / "m.pth", "--precision", "half", "--frames", tmp_path)
