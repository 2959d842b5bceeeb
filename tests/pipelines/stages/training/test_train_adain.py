"""AdaIN through the same commands as CycleGAN: trained, killed, carried on byte for byte, and used."""

import json
import signal

import pytest

KILL = {"call": "translate.methods.adain.AdaIN.step", "at": 4}
SETTINGS = ("method=adain", "encoder=efficientnet_lite0", "skip_connections=true", "batch=2", "ema_decay=0.9")


@pytest.fixture(scope="module")
def config(tiny_config, tmp_path_factory):
    """The miniature experiment without what only CycleGAN knows."""
    path = tmp_path_factory.mktemp("adain") / "tiny.toml"
    text = tiny_config.read_text()
    for line in ('generator = "resnet6"\n', "discriminator_channels = 4\n", "pool_size = 2\n"):
        assert line in text
        text = text.replace(line, "")
    path.write_text(text)
    return path


@pytest.fixture(scope="module")
def train(config, commands):
    """A function: name of the run -> the translator's run folder and what the command left."""

    def run(name, trap=None):
        changes = [part for one in SETTINGS for part in ("--set", f"translator.{one}")]
        where = ("--run", config.parent / name, "--workers", 0, "--threads", 1)
        done = commands("translate", "train", config, *where, *changes, trap=trap)
        return config.parent / name / "seed-0/translator", done

    return run


@pytest.fixture(scope="module")
def whole(train):
    """A run that nothing disturbed; not to be changed."""
    run, done = train("whole")
    assert done.code == 0, done.stderr
    return run


def test_a_killed_training_carries_on_byte_for_byte(train, whole):
    killed, done = train("killed", KILL)
    assert done.code == -signal.SIGKILL
    killed, done = train("killed")
    assert done.code == 0, done.stderr
    for name in ("method.safetensors", "optimizers.safetensors", "state.json"):
        path = f"checkpoints/step-00000004/{name}"
        assert (killed / path).read_bytes() == (whole / path).read_bytes(), name
    logged = [json.loads(line) for line in (whole / "metrics.jsonl").read_text().splitlines()]
    assert set(logged[-1]) == {"step", "content", "style"}


def test_its_checkpoint_translates_whole_and_in_tiles(whole, commands, tiny_config, tmp_path):
    """...with no file of the encoder's at hand: its weights, and the target's style, are in the checkpoint."""
    common = ("translate", "run", "--checkpoint", whole, "--input", tiny_config.parent / "frames/game/rgb")
    for name, options in {"whole": (), "tiles": ("--tile", 32)}.items():
        done = commands(*common, "--output", tmp_path / name, "--threads", 1, *options)
        assert done.code == 0, done.stderr
        assert len(list((tmp_path / name).rglob("*.png"))) == 5
