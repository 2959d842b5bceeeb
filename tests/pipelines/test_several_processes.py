"""Two processes train as one: the same weights, one run folder, one word on why they end, and the same bits after it.

They are real ones, joined by gloo. Most are forked by `launched.py`, which ends none because another failed: that they
end all the same is what a hang would look like from here.
"""

import json
import re
import shutil
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file

from pipelines.engine.launch import choose_machine
from pipelines.engine.session import Session
from pipelines.stages.training.train_segmenter import train_segmenter
from segment.networks import NETWORKS
from tests.pipelines.hangs import HANGS_S
from tests.pipelines.launching import ENVIRONMENT, SCRIPT
from tests.pipelines.narrow import narrow_ddrnet
from tests.pipelines.precision import at_least_single
from translate.styles import k_means

SYNCED = tuple(
    f"segmenter.{setting}"
    for setting in ("batch=4", "scale=[1.0, 1.0]", "batch_norm=synced", "ema_decay=0.9", "preview_every=3")
)


@pytest.fixture(scope="module")
def training(tiny_config):
    """A function: a run folder and settings -> the command that trains there."""

    def command(run, *settings, arm="source_only"):
        where = ("--arm", arm, "--run", run, "--workers", 0, "--threads", 1, "--device", "cpu")
        changes = [word for setting in settings for word in ("--set", setting)]
        return ["segment", "train", str(tiny_config), *map(str, where), *changes]

    return command


@pytest.fixture(scope="module")
def whole(launch, training, tmp_path_factory):
    """An undisturbed run of two processes with synced normalisation; not to be changed."""
    run = tmp_path_factory.mktemp("whole") / "run"
    ended = launch(*[training(run, *SYNCED)] * 2)
    assert ended.codes == [0, 0], ended.stderr
    assert ended.stdout == f"segmenter in {run / 'seed-0/source_only'}\n" and ended.stderr == ""
    return run / "seed-0/source_only"


def content(run):
    """What must not depend on whether training was disturbed."""
    kept = ("checkpoints", "metrics.jsonl", "previews", "config.json", "final.json")
    files = (file for file in sorted(run.rglob("*")) if file.is_file())
    return {str(f.relative_to(run)): f.read_bytes() for f in files if str(f.relative_to(run)).startswith(kept)}


def weights(run):
    return load_file(run / "checkpoints/step-00000003/method.safetensors")


# --- what is learnt ---------------------------------------------------------------------------------------------------


@pytest.fixture
def as_launched(monkeypatch):
    """The network and precision of `launched.py`."""
    monkeypatch.setitem(NETWORKS, "ddrnet23_slim", narrow_ddrnet)
    torch.set_default_dtype(torch.float64)
    monkeypatch.setattr(torch.Tensor, "float", at_least_single)
    yield
    torch.set_default_dtype(torch.float32)


def test_two_processes_learn_what_one_learns(whole, make_workspace, cpu, as_launched):
    """Synced statistics, and labels everywhere, so that means over both halves are the mean over the batch."""
    alone = train_segmenter(make_workspace(*SYNCED), 0, "source_only", Session(cpu))
    expected, found = weights(alone), weights(whole)
    start = load_file(alone / "checkpoints/step-00000002/method.safetensors")
    assert expected.keys() == found.keys()
    for key, value in expected.items():
        torch.testing.assert_close(found[key], value, rtol=1e-6, atol=1e-8, msg=lambda text: f"{key}: {text}")  # noqa: B023
    assert any(not torch.equal(start[key], value) for key, value in expected.items())
    rows = [json.loads((run / "metrics.jsonl").read_text()) for run in (alone, whole)]
    assert rows[0] == pytest.approx(rows[1], rel=1e-6)


ADAPTING = ("segmenter.shares.translated=0", "segmenter.shares.source=1", "labelled_target=2")


ADAPTATIONS = {
    **{name: "" for name in ("adaptsegnet", "ass", "clan", "swd")},
    **{name: ", start_step = 0, threshold = 0.1" for name in ("dacs", "duda")},
    "mic": ', start_step = 0, threshold = 0.1, thresholds = "per_class", mix = "rectangle", block = 8',
    "distillation": ", threshold = 0.1",
}
"""Methods that adapt, and settings by which they do so at once."""


@pytest.mark.parametrize("method", ADAPTATIONS)
def test_two_processes_adapt_as_one_does(whole, launch, training, make_workspace, cpu, as_launched, tmp_path, method):
    settings = (*SYNCED, *ADAPTING, f'segmenter.adaptation={{method = "{method}"{ADAPTATIONS[method]}}}')
    if method in ("duda", "distillation"):
        settings += (f'segmenter.teachers=["{whole}"]',)
    ended = launch(*[training(tmp_path / "both", *settings, arm="translated")] * 2)
    assert ended.codes == [0, 0], ended.stderr
    alone = train_segmenter(make_workspace(*settings), 0, "translated", Session(cpu))
    expected, found = weights(alone), weights(tmp_path / "both/seed-0/translated_net")
    assert expected.keys() == found.keys()
    for key, value in expected.items():
        torch.testing.assert_close(found[key], value, rtol=1e-6, atol=1e-8, msg=lambda text: f"{key}: {text}")  # noqa: B023


UNPAIRED = ("batch=2", "pool_size=1", "ema_decay=0.9")
LAYOUTS = (
    *("method=pix2pixhd", "batch=2", "crop=[32, 32]", "generator=global", "halvings=2", "blocks=1", "pool_size=1"),
    *("perceptual_weight=0", "style_features=2", "style_channels=2", "style_halvings=2", "style_clusters=2"),
)


def test_two_processes_are_taught_as_one_is(launch, tiny_config, tmp_path):
    """Each finds the same real patches and judges its part of the five that are drawn among the eight of both.

    The teacher's frames are the sources themselves.
    """
    teacher = tiny_config.parent / "frames/game/rgb"
    small = (
        "steps = 2, batch = 2, crop = 32, height = 32, patch = 16, patches = 5, generator_channels = 2, "
        "discriminator_channels = 2"
    )
    settings = f"translator={{method = 'student', teacher = '{teacher}', {small}, ema_decay = 0.9}}"
    states = []
    for count, encoder in ((1, "source_only"), (2, tmp_path / "1/seed-0/source_only")):
        run = tmp_path / str(count)
        command = ["translate", "train", tiny_config, "--run", run, "--workers", 0, "--threads", 1, "--device", "cpu"]
        changes = ("--set", settings, "--set", f"translator.encoder={encoder}")
        ended = launch(*[[*command, *changes]] * count)
        assert ended.codes == [0] * count, ended.stderr
        assert ended.stderr.count("real patches: ") == 1
        states.append(load_file(run / "seed-0/translator/checkpoints/step-00000002/method.safetensors"))
    assert states[0].keys() == states[1].keys()
    for key, value in states[0].items():
        torch.testing.assert_close(states[1][key], value, rtol=1e-6, atol=1e-8, msg=lambda text: f"{key}: {text}")  # noqa: B023


@pytest.mark.parametrize("settings", [UNPAIRED, LAYOUTS], ids=["unpaired", "layouts"])
def test_two_processes_learn_to_translate_as_one_does(launch, tiny_config, tmp_path, settings):
    """Pools of past images and memories of styles, which a step fills itself, are those of one process too.

    Clusters of styles are formed on what is remembered: where two points are as far, the last bit chooses between them.
    """
    states = []
    for count in (1, 2):
        run = tmp_path / str(count)
        changes = [word for setting in settings for word in ("--set", f"translator.{setting}")]
        command = ["translate", "train", tiny_config, "--run", run, "--workers", 0, "--threads", 1, "--device", "cpu"]
        ended = launch(*[[*command, *changes]] * count)
        assert ended.codes == [0] * count, ended.stderr
        assert ended.stdout == f"translator in {run / 'seed-0/translator'}\n" and ended.stderr == ""
        states.append(load_file(run / "seed-0/translator/checkpoints/step-00000004/method.safetensors"))
    assert states[0].keys() == states[1].keys()
    assert any("pool" in key or key.startswith("styles.") for key in states[0])
    for key, value in states[0].items():
        if key == "styles.centres":
            continue
        torch.testing.assert_close(states[1][key], value, rtol=1e-6, atol=1e-8, msg=lambda text: f"{key}: {text}")  # noqa: B023
    for state in states if "styles.centres" in states[0] else ():
        for label in state["styles.seen"].nonzero().flatten().tolist():
            remembered = state["styles.remembered"][label, : int(state["styles.seen"][label])]
            centres = state["styles.centres"][label]
            assert torch.equal(k_means(remembered, len(centres)), centres[: int(state["styles.found"][label])])


def test_translators_that_cannot_be_shared_are_refused(launch, tiny_config, tmp_path):
    command = ["translate", "train", tiny_config, "--run", tmp_path, "--workers", 0, "--threads", 1, "--device", "cpu"]
    assert launch(*[command] * 2).refused_with(2, "translator.batch is 1, which 2 processes cannot share evenly")
    by_parts = [*command, "--set", "translator.batch=2", "--set", "translator.norm=batch"]
    assert launch(*[by_parts] * 2).refused_with(2, 'translator.norm is "batch", by which each of 2 processes')


def test_the_run_tells_how_many_trained_it(whole):
    machine = json.loads((whole / "environment.json").read_text())["machine"]
    precision = choose_machine("cpu").for_training().precision  # fp32, but where bf16 pays
    assert machine.endswith(f"1 thread, {precision}, 2 processes")


# --- how it ends ------------------------------------------------------------------------------------------------------


def test_killed_then_stopped_and_carried_on_to_the_same_bits(whole, launch, training, tmp_path):
    """What is sent to one process ends both, at the same step."""
    commands = [training(tmp_path, *SYNCED)] * 2
    run = tmp_path / "seed-0/source_only"
    killed = launch(*commands, rank_1="is_killed")
    assert killed.codes == [75, -9]
    assert re.fullmatch(r"stopped: another process is gone .*; what was saved is kept .*\n", killed.stderr)
    assert [path.name for path in (run / "checkpoints").iterdir()] == ["step-00000000"]
    stopped = launch(*commands, rank_1="is_asked_to_stop")
    assert stopped.refused_with(75, "at step 2 of 3: checkpoint saved in .*; the same command carries on")
    assert launch(*commands).codes == [0, 0]
    assert content(run) == content(whole)


def test_self_training_by_statistics_of_each_process_is_carried_on_to_the_same_bits(launch, training, tmp_path):
    """Each measures its own part; the teacher has the mean, so that one state is enough for both."""
    dacs = f'segmenter.adaptation={{method = "dacs"{ADAPTATIONS["dacs"]}}}'
    settings = ("segmenter.batch=4", "segmenter.steps=6", *ADAPTING, dacs)
    whole, split = (training(tmp_path / name, *settings, arm="translated") for name in ("whole", "split"))
    assert launch(whole, whole).codes == [0, 0]
    assert launch(split, split, rank_1="is_asked_to_stop").refused_with(75, "at step 2 of 6")
    assert launch(split, split).codes == [0, 0]
    last = "seed-0/translated_net/checkpoints/step-00000006/method.safetensors"
    expected, found = (load_file(tmp_path / name / last) for name in ("whole", "split"))
    assert all(torch.equal(found[key], value) for key, value in expected.items())


@pytest.mark.parametrize("waiting", [["rank_0"], ["rank_1"], ["rank_0", "rank_1"]], ids="+".join)
def test_a_signal_to_who_waits_for_a_batch_stops_all(whole, launch, training, tmp_path, waiting):
    """After the step that all have taken, which no checkpoint held."""
    commands = [training(tmp_path, *SYNCED)] * 2
    stopped = launch(*commands, **dict.fromkeys(waiting, "waits_for_a_batch"))
    assert stopped.refused_with(75, "at step 1 of 3: checkpoint saved in .*; the same command carries on")
    run = tmp_path / "seed-0/source_only"
    assert (run / "checkpoints/step-00000001").is_dir()
    assert launch(*commands).codes == [0, 0]
    assert content(run) == content(whole)


def test_a_worker_that_is_killed_ends_all_and_is_told_once(launch, training, tmp_path):
    """Its process may hear of it while it waits for the others, whom it must not blame then."""
    ended = launch(*[[*training(tmp_path, *SYNCED), "--workers", "1"]] * 2, rank_1="loses_a_worker")
    assert ended.refused_with(2, "a process that makes batches was killed, most likely for want of memory")


def test_a_process_that_freezes_ends_the_other(whole, launch, training, tmp_path):
    """Its connections stay open; the other, which waits for its part of a sum, hears of it by the heartbeat alone."""
    ended = launch(*[training(tmp_path, *SYNCED)] * 2, rank_0="is_impatient", rank_1="is_frozen")
    assert ended.codes == [75, None]
    said = r"stopped: nothing was heard of process 1 for 10 s \(.*\); what was saved is kept and the same command .*\n"
    assert re.fullmatch(said, ended.stderr), ended.stderr
    assert launch(*[training(tmp_path, *SYNCED)] * 2).codes == [0, 0]
    assert content(tmp_path / "seed-0/source_only") == content(whole)


def test_two_then_one_then_two_processes_learn_what_one_learns_undisturbed(launch, training, tmp_path):
    """Stopped after two of six steps, and after four. Equal but for rounding, in fp64; the log has each step once."""
    settings = (*SYNCED, "segmenter.steps=6")
    whole, split = (training(tmp_path / name, *settings) for name in ("whole", "split"))
    assert launch(whole).codes == [0]
    assert launch(split, split, rank_1="is_asked_to_stop").refused_with(75, "at step 2 of 6")
    assert launch(split, rank_0="is_asked_to_stop").refused_with(75, "at step 4 of 6")
    assert launch(split, split).codes == [0, 0]
    runs = [tmp_path / name / "seed-0/source_only" for name in ("whole", "split")]
    expected, found = (load_file(run / "checkpoints/step-00000006/method.safetensors") for run in runs)
    assert expected.keys() == found.keys()
    for key, value in expected.items():
        torch.testing.assert_close(found[key], value, rtol=1e-6, atol=1e-8, msg=lambda text: f"{key}: {text}")  # noqa: B023
    logs = [[json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()] for run in runs]
    assert len(logs[0]) == len(logs[1])
    for ours, theirs in zip(*logs, strict=True):
        assert ours == pytest.approx(theirs, rel=1e-6)


@pytest.mark.slow
def test_torchrun_itself_is_stopped(training, tmp_path):
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "--"]
    stopped = subprocess.run(
        [*command, SCRIPT, *training(tmp_path, *SYNCED)],
        env=ENVIRONMENT | {"MISHAPS": '{"1": "stops_its_launcher"}'}, capture_output=True, text=True, timeout=HANGS_S,
    )  # fmt: skip
    lines = [line for line in stopped.stderr.splitlines() if line.startswith(("error: ", "stopped: "))]
    assert len(lines) == 1 and "at step 2 of 3: checkpoint saved" in lines[0], stopped.stderr
    checkpoints = tmp_path / "seed-0/source_only/checkpoints"
    assert sorted(path.name for path in checkpoints.iterdir()) == ["step-00000000", "step-00000002"]


def test_a_step_whose_loss_is_no_number_in_one_process_is_passed_over_by_both(launch, training, tmp_path):
    """The other hears of it by the mean gradient."""
    ended = launch(*[training(tmp_path, *SYNCED)] * 2, rank_1="loses_its_numbers")
    assert ended.codes == [0, 0], ended.stderr
    run = tmp_path / "seed-0/source_only"
    skipped = json.loads((run / "skipped_steps.json").read_text())
    assert list(skipped) == ["1"] and re.fullmatch("the gradient of .* is no number at step 1", skipped["1"])
    assert [json.loads(line)["step"] for line in (run / "metrics.jsonl").read_text().splitlines()] == [3]


def test_weights_that_are_no_numbers_are_found_by_one_process_and_passed_over_by_both(launch, training, tmp_path):
    """And the signal that came in that step is not forgotten."""
    commands = [training(tmp_path, *SYNCED)] * 2
    stopped = launch(*commands, rank_0="overflows", rank_1="overflows_when_asked_to_stop")
    assert stopped.codes == [75, 75], stopped.stderr
    assert re.search("^stopped: .* at step 2 of 3: the last checkpoint is kept in ", stopped.stderr, re.MULTILINE)
    run = tmp_path / "seed-0/source_only"
    assert list(json.loads((run / "skipped_steps.json").read_text())) == ["2"]
    ended = launch(*commands)
    assert ended.codes == [0, 0], ended.stderr
    assert (run / "checkpoints/step-00000003").is_dir()


def test_losses_that_are_no_numbers_in_one_process_end_both(launch, training, tmp_path):
    ended = launch(*[training(tmp_path, *SYNCED, "segmenter.steps=6")] * 2, rank_1="has_no_numbers")
    assert ended.codes == [7, 7], ended.stderr
    assert re.search("is (nan|no number) at step 4; the last checkpoint is from before", ended.stderr), ended.stderr


def test_the_traceback_of_a_bug_is_the_only_thing_said(launch, training, tmp_path):
    ended = launch(*[training(tmp_path, *SYNCED)] * 2, rank_0="has_a_bug")
    assert ended.codes == [1, 1] and ended.stderr.count("Traceback") == 1
    assert ended.stderr.endswith("ZeroDivisionError: integer division or modulo by zero\n")


# --- refusals ---------------------------------------------------------------------------------------------------------


def test_a_run_with_other_settings_is_refused_once(whole, launch, training, tmp_path):
    shutil.copytree(whole, tmp_path / "seed-0/source_only")
    ended = launch(*[training(tmp_path, *SYNCED, "segmenter.momentum=0.5")] * 2)
    assert ended.refused_with(2, r"holds a run with other settings or data \(settings.momentum was 0.9, now 0.5\)")


def test_processes_that_were_given_different_settings_are_refused(launch, training, tmp_path):
    other = training(tmp_path, *SYNCED, "segmenter.momentum=0.5")
    ended = launch(training(tmp_path, *SYNCED), other)
    assert ended.refused_with(2, "the 2 processes do not have the same settings, frames or precision")
    assert not (tmp_path / "seed-0").exists()


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        (
            ["segmenter.batch=3"],
            "segmenter.batch is 3, which 2 processes cannot share evenly; set it to a multiple",
        ),
        (
            ["segmenter.batch=2"],
            "segmenter.batch is 2, one image for each of 2 processes, .*; set segmenter.batch to 4 or more, or "
            'segmenter.batch_norm to "synced", segmenter.batch_norm to "frozen"',
        ),
        (["segmenter.loss=hinge"], "segmenter.loss"),
    ],
)
def test_settings_that_do_not_suit_are_refused_once(launch, training, tmp_path, settings, line):
    assert launch(*[training(tmp_path, *settings)] * 2).refused_with(2, line)


def test_one_image_for_each_process_trains_with_synced_normalisation(launch, training, tmp_path):
    settings = ("segmenter.batch=2", "segmenter.batch_norm=synced", "segmenter.steps=1", "segmenter.warmup_steps=0")
    ended = launch(*[training(tmp_path, *settings)] * 2)
    assert ended.codes == [0, 0], ended.stderr


def test_commands_for_one_process_refuse_several(launch, tiny_config, tmp_path):
    for command in (["compare"], ["translate", "experiment"], ["segment", "study"]):
        ended = launch(*[[*command, tiny_config, "--run", tmp_path / "run"]] * 2)
        assert ended.refused_with(2, f"sim2real {' '.join(command)} is made for one process")
    assert not (tmp_path / "run").exists()
