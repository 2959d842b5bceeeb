"""`sim2real checkpoint import` as people type it: what they say reaches the import, what contradicts is refused."""

import torch
from safetensors.torch import save_file

from pipelines.commands.checkpoint import OfSegmenter, checkpoint_import
from pipelines.pretrained.import_run import Imported
from pipelines.pretrained.imports import AS_IT_IS, TranslatorImport
from tests.pipelines.commands.typed import typed
from tests.pipelines.drawn import prefixed


def test_only_what_was_said_is_told():
    assert OfSegmenter("lraspp", None, None, None).given() == []
    assert OfSegmenter(None, 512, "caffe", False).given() == ["--height", "--input", "--align-corners"]


def test_the_command_refuses_what_does_not_go_together(drawn, save, tmp_path, commands):
    file = save("net.pth", drawn("ddrnet23_slim").state_dict())
    other = save("other.pth", {"fc.weight": torch.zeros(3, 3)})
    cases = [
        ((file, "--direction", "target_to_source", "--clusters", other, "--labels", 35), 2,
         f"error: {file} holds a segmenter (ddrnet23_slim); leave --direction, --clusters, --labels out"),
        ((file, "--network", "lraspp"), 5, f"error: {file}: nothing in it fits lraspp: 0 tensors loaded, "),
        ((file, "--network", "nonesuch"), 2, "'nonesuch' is not one of 'ddrnet23_slim'"),
        ((other, "--height", 512, "--input", "caffe", "--align-corners"), 2,
         "holds no segmenter that is known here; leave --height, --input, --align-corners out"),
        ((other,), 5, "or a whole segmenter in its authors' own names"),
    ]  # fmt: skip
    for arguments, code, message in cases:
        done = commands("checkpoint", "import", *arguments, "--output", tmp_path / "run")
        assert (done.code, "Traceback" in done.stderr) == (code, False), done.stderr
        assert message in done.stderr, done.stderr
    assert not (tmp_path / "run").exists()


def test_what_a_person_says_reaches_the_import(drawn, save, tmp_path, commands):
    """A safetensors file, and one of a student, its teacher and a projection that served training."""
    state, run = drawn("ddrnet23_slim").state_dict(), tmp_path / "run"
    save_file(state, tmp_path / "net.safetensors")
    done = commands("checkpoint", "import", tmp_path / "net.safetensors", "--output", run, "--input", "cityscapes")
    assert done.code == 0, done.stderr
    assert "346 tensors loaded, 0 missing, 0 unexpected" in done.stdout
    assert "input RGB in 0..1 less 0.3257 0.369 0.3223 over" in done.stdout

    state = state | {"projection.weight": torch.zeros(3)}
    file = save("uda.pth", {"model": prefixed(state, "module."), "ema_model": prefixed(state, "_orig_mod.")})
    done = commands("checkpoint", "import", file, "--leave-out", "projection", "--output", run)
    assert done.code == 2 and "holds several whole segmenters: ema_model, model. Say which by --entry" in done.stderr
    chosen = ("--leave-out", "projection", "--entry", "ema_model", "--no-align-corners", "--restart")
    done = commands("checkpoint", "import", file, *chosen, "--output", run)
    assert done.code == 0, done.stderr
    assert f"({file}, ema_model)" in done.stdout


def test_what_a_person_says_of_a_translator_reaches_the_import(played, tmp_path):
    networks, run = {"": {"weight": torch.zeros(3)}}, tmp_path / "run"
    played("pipelines.pretrained.read_published.read_published", networks)
    played("pipelines.pretrained.published_segmenters.find_segmenter")
    imported = played(
        "pipelines.pretrained.published_translators.import_published", Imported(run, ("48 tensors loaded",))
    )
    file, reverse, target, source, encoder, clusters = (
        tmp_path / name for name in ("G.pth", "F.pth", "D_A.pth", "D_B.pth", "E.pth", "looks.npy")
    )
    said = typed(
        checkpoint_import, file, "--output", run, "--direction", "target_to_source", "--reverse", reverse,
        "--discriminator", target, "--discriminator", source, "--encoder", encoder, "--clusters", clusters,
        "--labels", 19, "--norm-statistics", "saved", "--restart",
    )  # fmt: skip
    assert said == f"48 tensors loaded\ntranslator in {run}\n"
    typed(checkpoint_import, file, "--output", run)
    told = TranslatorImport("target_to_source", reverse, (target, source), encoder, clusters, 19, "saved")
    assert imported.given == [(file, run, told, True, networks), (file, run, AS_IT_IS, False, networks)]


def test_a_name_given_imports_as_the_name_found(drawn, save, tmp_path, commands):
    file = save("net.pth", drawn("ddrnet23_slim").state_dict())
    done = commands("checkpoint", "import", file, "--output", tmp_path / "run", "--network", "ddrnet23_slim")
    assert done.code == 0, done.stderr
    assert "network: ddrnet23_slim; 346 tensors loaded, 0 missing, 0 unexpected" in done.stdout
