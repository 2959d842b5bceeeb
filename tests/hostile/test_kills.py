"""Training killed, or asked to stop, at the boundaries of a save and within steps: it ends with the same bytes.

A save opens, writes, syncs and renames; before and after these calls the process dies (SIGKILL), then the command is
given again. Every file is compared with those of a run that nothing disturbed.
"""

import shutil
import signal

import pytest

from pipelines.data.disk.ownership import hold
from tests.pipelines.test_end_to_end import SEGMENTER_STEP, TRANSLATOR_STEP, content

pytestmark = pytest.mark.slow
SAMPLED_EVERY = 40

PIX2PIXHD = (
    *("translator.generator_channels=4", "translator.halvings=2", "translator.blocks=1"),
    *("translator.discriminator_channels=4", "translator.perceptual_weight=0", "translator.scales=1"),
)
LIKE_TINY = ("translator.height=32", "translator.crop=32", "translator.steps=4", "translator.checkpoint_every=2",
             "translator.preview_every=2", "translator.pool_size=2")  # fmt: skip
SETTINGS = ('translator={method = "pix2pixhd"}', *LIKE_TINY, *PIX2PIXHD)
SET = tuple(word for setting in SETTINGS for word in ("--set", setting))
STAGES = {
    "cyclegan": ("translate train", (), "translator", TRANSLATOR_STEP),
    "segmenter": ("segment train", ("--arm", "oracle"), "oracle", SEGMENTER_STEP),
    "pix2pixhd": ("translate train", SET, "translator", "translate.methods.pix2pixhd.Pix2pixHD.step"),
}
"""Trainer -> command, options, run folder, the method's step."""

SAVES = [
    *(("os.fsync", at, after) for at in (1, 2, 3, 5, 7, 9, 12, 14, 16) for after in (False, True)),
    *(("os.replace", at, after) for at in (1, 2, 3, 4, 5, 6) for after in (False, True)),
    *(("pipelines.engine.checkpoints.save_file", at, False) for at in (1, 2, 3, 4)),
    *(("pipelines.engine.checkpoints.sha256_of", at, False) for at in (1, 3, 5)),
    ("shutil.rmtree", 2, False),
    ("pathlib.Path.mkdir", 6, True),
]
STEPS = [("step", at, after) for at in (1, 2, 3) for after in (False, True)]
KILLS = [(trainer, *where) for trainer in STAGES for where in [*SAVES, *STEPS]]


@pytest.fixture
def train(commands, tiny_config, tmp_path):
    """A function: a trainer, a trap -> the result of its command in `tmp_path/run`."""

    def run(trainer, trap=None, folder=tmp_path / "run"):
        command, more, _, _ = STAGES[trainer]
        return commands(
            *command.split(), tiny_config, "--run", folder, "--threads", 1, "--workers", 0, *more, trap=trap
        )

    return run


@pytest.fixture(scope="module")
def undisturbed(commands, tiny_config, tmp_path_factory):
    """A function: a trainer -> every file of its run that nothing disturbed."""
    known = {}

    def files(trainer):
        if trainer not in known:
            command, more, place, _ = STAGES[trainer]
            folder = tmp_path_factory.mktemp(trainer)
            done = commands(*command.split(), tiny_config, "--run", folder, "--threads", 1, "--workers", 0, *more)
            assert done.code == 0, done.stderr
            known[trainer] = content(folder / "seed-0" / place)
        return known[trainer]

    return files


def assert_carries_on(train, trainer, undisturbed, tmp_path):
    finished = train(trainer)
    assert finished.code == 0, finished.stderr
    ours, theirs = content(tmp_path / "run/seed-0" / STAGES[trainer][2]), undisturbed(trainer)
    assert sorted(ours) == sorted(theirs)
    assert [name for name in ours if ours[name] != theirs[name]] == []


@pytest.mark.parametrize(("trainer", "call", "at", "after"), KILLS)
def test_killed_and_started_again(train, undisturbed, tmp_path, trainer, call, at, after):
    call = STAGES[trainer][3] if call == "step" else call
    killed = train(trainer, {"call": call, "at": at, "after": after})
    assert killed.code == -signal.SIGKILL, killed.stderr
    assert_carries_on(train, trainer, undisturbed, tmp_path)


@pytest.mark.parametrize("trainer", STAGES)
def test_killed_three_times_within_one_checkpoint(train, undisturbed, tmp_path, trainer):
    step = STAGES[trainer][3]
    for trap in ({"call": step, "at": 2}, {"call": "os.fsync", "at": 9}, {"call": step, "at": 1, "after": True}):
        assert train(trainer, trap).code == -signal.SIGKILL
    assert_carries_on(train, trainer, undisturbed, tmp_path)


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT", "SIGUSR1"])
@pytest.mark.parametrize("at", [1, 2])
@pytest.mark.parametrize("trainer", STAGES)
def test_asked_to_stop_it_saves_and_leaves_with_75(train, undisturbed, tmp_path, trainer, at, name):
    stopped = train(trainer, {"call": STAGES[trainer][3], "at": at, "signal_name": name})
    assert stopped.code == 75, stopped.stderr
    assert stopped.stderr.splitlines()[-1].startswith(f"stopped: {name} at step {at} of ")
    assert (tmp_path / f"run/seed-0/{STAGES[trainer][2]}/checkpoints/step-0000000{at}/manifest.json").is_file()
    assert_carries_on(train, trainer, undisturbed, tmp_path)


@pytest.mark.parametrize("trainer", STAGES)
def test_a_flipped_byte_is_named_and_the_checkpoint_before_is_used(train, undisturbed, tmp_path, trainer):
    run = tmp_path / "run/seed-0" / STAGES[trainer][2]
    assert train(trainer, {"call": STAGES[trainer][3], "at": 3}).code == -signal.SIGKILL
    tensors = run / "checkpoints/step-00000002/method.safetensors"
    data = bytearray(tensors.read_bytes())
    data[len(data) // 2] ^= 1
    tensors.write_bytes(bytes(data))
    finished = train(trainer)
    named = f"{tensors.parent}: method.safetensors has changed since it was written; going on from step 0"
    assert finished.code == 0 and named in finished.stderr
    assert_carries_on(train, trainer, undisturbed, tmp_path)


def test_a_run_that_another_process_holds_is_refused_and_left_alone(train, undisturbed, tmp_path):
    run = tmp_path / "run/seed-0/translator"
    run.mkdir(parents=True)
    with hold(run / ".lock", "busy"):
        refused = train("cyclegan")
        assert refused.code == 2 and "is in use by another process" in refused.stderr
        assert refused.stderr.count("\n") == 1 and [path.name for path in run.iterdir()] == [".lock"]
    shutil.rmtree(run)
    assert_carries_on(train, "cyclegan", undisturbed, tmp_path)
