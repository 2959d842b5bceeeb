"""`sim2real export` as people type it: which options belong to which kind of checkpoint."""

import pytest


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


@pytest.mark.parametrize("kind", ["translator", "segmenter"])
def test_another_format_is_refused(commands, request, tmp_path, kind):
    done = commands("export", "--checkpoint", request.getfixturevalue(kind), "--output", tmp_path / "m.engine")
    assert done.code == 2 and "expected NAME.onnx, NAME.xml for OpenVINO, or NAME.pt2" in done.stderr
