"""CUT through the same commands as CycleGAN: trained, killed, carried on byte for byte, and used."""

import json
import signal
from pathlib import Path

import pytest

from pipelines.engine.checkpoint_files import list_checkpoints

KILL = {"call": "translate.methods.cut.CUT.step", "at": 4}
FAST = ("contrast_weight=10", "contrast_identity=false", "flip_equivariance=true", "ema_decay=0.9")


@pytest.fixture
def config(tiny_config, tmp_path):
    """The miniature experiment without what only CycleGAN knows."""
    path = tmp_path / "tiny.toml"
    path.write_text(tiny_config.read_text().replace("pool_size = 2\n", ""))
    return path


@pytest.fixture
def train(config, commands, tmp_path):
    """A function: name of the run, settings -> the translator's run folder and what the command left."""

    def run(name, *settings, trap=None):
        changes = [part for one in ("method=cut", *settings) for part in ("--set", f"translator.{one}")]
        folder = ("--run", tmp_path / name)
        done = commands("translate", "train", config, *folder, *changes, "--workers", 0, "--threads", 1, trap=trap)
        return Path(tmp_path / name / "seed-0/translator"), done

    return run


def logged(run):
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("settings", [(), FAST], ids=["cut", "fastcut"])
def test_a_killed_training_carries_on_byte_for_byte(train, settings):
    whole, done = train("whole", *settings)
    assert done.code == 0, done.stderr
    killed, done = train("killed", *settings, trap=KILL)
    assert done.code == -signal.SIGKILL
    assert [path.name for path in list_checkpoints(killed / "checkpoints")] == ["step-00000002", "step-00000000"]
    killed, done = train("killed", *settings)
    assert done.code == 0, done.stderr
    for name in ("method.safetensors", "optimizers.safetensors", "state.json"):
        path = f"checkpoints/step-00000004/{name}"
        assert (killed / path).read_bytes() == (whole / path).read_bytes(), name
    assert logged(killed) == logged(whole)
    expected = {"step", "adversarial", "contrast", "discriminator"} | (set() if settings else {"contrast_identity"})
    assert set(logged(whole)[-1]) == expected


def test_its_checkpoint_translates_one_way(train, commands, tiny_config, tmp_path):
    run, _ = train("run", "antialias=false")
    common = ("translate", "run", "--checkpoint", run, "--input", tiny_config.parent / "frames/game/rgb")
    done = commands(*common, "--output", tmp_path / "out", "--threads", 1)
    assert done.code == 0, done.stderr
    assert len(list((tmp_path / "out").rglob("*.png"))) == 5
    done = commands(*common, "--output", tmp_path / "back", "--direction", "target_to_source")
    assert done.code != 0 and "source_to_target" in done.stderr
