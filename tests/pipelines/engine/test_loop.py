"""The one loop: what it writes, how it stops, and that a resumed run ends with the same bytes."""

import json
import re
import signal

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from pipelines.engine.checkpoint_files import Retention, list_checkpoints, step_of
from pipelines.engine.launch import Machine
from pipelines.engine.loop import PerformedUpdate, Schedule, headline, train
from pipelines.engine.runs import RunFolder
from pipelines.errors import Interrupted, NumericalError
from segment.adaptation.guards import Collapsed
from tests.pipelines.engine.toy import Numbers, Toy, at_step, batches, run_out_of_memory, run_to


def content(path):
    kept = ("checkpoints", "metrics.jsonl", "previews", "config.json")
    files = (file for file in sorted(path.rglob("*")) if file.is_file())
    return {str(f.relative_to(path)): f.read_bytes() for f in files if str(f.relative_to(path)).startswith(kept)}


def test_a_run_explains_itself(tmp_path):
    run_to(tmp_path / "run")
    assert {"config.json", "environment.json", "metrics.jsonl", "timings.jsonl"} <= {
        p.name for p in (tmp_path / "run").iterdir()
    }
    rows = [json.loads(line) for line in (tmp_path / "run/metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [1, 2, 3, 4, 5, 6]
    assert all(row["size"] > 0 for row in rows)
    assert sorted(p.name for p in (tmp_path / "run/previews").iterdir()) == ["step-00000003.jpg", "step-00000006.jpg"]


class Stopped(Toy):
    """Of which a signal comes amid a step."""

    def __init__(self, step):
        super().__init__()
        self.last = step

    def step(self, batch, update):
        if int(self.steps) + 1 == self.last:
            signal.raise_signal(signal.SIGTERM)
        return super().step(batch, update)


def test_a_stopped_run_carries_on_to_the_same_bytes(tmp_path):
    run_to(tmp_path / "whole")
    with pytest.raises(Interrupted, match="SIGTERM at step 3 of 6"):
        run_to(tmp_path / "stopped", method=Stopped(3))
    run_to(tmp_path / "stopped")
    assert content(tmp_path / "stopped") == content(tmp_path / "whole")


@pytest.mark.parametrize("done", [0, 3, 4])
def test_a_signal_does_not_wait_for_a_batch(tmp_path, done):
    """Of 0 and 4 steps there is a checkpoint already, of 3 there is none."""
    run_to(tmp_path / "whole")

    def never():
        signal.raise_signal(signal.SIGTERM)
        pytest.fail("the batch was waited for")

    with pytest.raises(Interrupted, match=f"SIGTERM at step {done} of 6"):
        run_to(tmp_path / "stopped", stream=at_step(done, never))
    assert (tmp_path / f"stopped/checkpoints/step-{done:08d}").is_dir()
    run_to(tmp_path / "stopped")
    assert content(tmp_path / "stopped") == content(tmp_path / "whole")


def test_a_signal_in_the_last_step_is_not_swallowed(tmp_path):
    """Else the next stage would begin, and be killed half a minute later by whoever sent it."""
    with pytest.raises(Interrupted, match="SIGTERM at step 6 of 6"):
        run_to(tmp_path / "run", method=Stopped(6))
    run_to(tmp_path / "run")
    assert (tmp_path / "run/checkpoints/step-00000006").is_dir()


def test_a_crash_between_checkpoints_loses_nothing_but_time(tmp_path):
    run_to(tmp_path / "whole")

    with pytest.raises(MemoryError):
        run_to(tmp_path / "crashed", stream=at_step(5, run_out_of_memory))
    run_to(tmp_path / "crashed")
    assert content(tmp_path / "crashed") == content(tmp_path / "whole")


def test_a_damaged_checkpoint_is_named_and_the_one_before_is_used(tmp_path, capsys):
    run_to(tmp_path / "whole")
    with pytest.raises(MemoryError):
        run_to(tmp_path / "run", stream=at_step(5, run_out_of_memory))
    tensors = tmp_path / "run/checkpoints/step-00000004/method.safetensors"
    data = bytearray(tensors.read_bytes())
    data[-1] ^= 1
    tensors.write_bytes(bytes(data))
    capsys.readouterr()
    run_to(tmp_path / "run")
    said = "step-00000004: method.safetensors has changed since it was written; going on from step 2"
    assert said in capsys.readouterr().err
    last = "checkpoints/step-00000006/manifest.json"
    assert (tmp_path / "run" / last).read_bytes() == (tmp_path / "whole" / last).read_bytes()


def test_training_goes_back_to_a_checkpoint_that_was_kept_for_ever(tmp_path, capsys):
    """Of 0, 2, 4, 6 and 8 those that 4 divides are kept, and the newest; 8 and 6 are damaged when it begins again."""
    retention = Retention(newest=2, every=4)
    run_to(tmp_path / "whole", steps=10, retention=retention)
    with pytest.raises(MemoryError):
        run_to(tmp_path / "run", steps=10, stream=at_step(9, run_out_of_memory), retention=retention)
    checkpoints = {step_of(path): path for path in list_checkpoints(tmp_path / "run/checkpoints")}
    assert list(checkpoints) == [8, 6, 4]
    for step in (8, 6):
        (checkpoints[step] / "optimizers.safetensors").write_bytes(b"")
    capsys.readouterr()
    run_to(tmp_path / "run", steps=10, retention=retention)
    assert capsys.readouterr().err.count("going on from step 4") == 2
    assert content(tmp_path / "run") == content(tmp_path / "whole")
    kept = [path.name for path in list_checkpoints(tmp_path / "run/checkpoints")]
    assert kept == ["step-00000010", "step-00000008", "step-00000004"]


def test_the_stream_is_closed_however_training_ends(tmp_path):
    closed = []

    def stream(first, last):
        try:
            yield from batches(first, last)
        finally:
            closed.append(first)

    class Faulty(Toy):
        def step(self, batch, update):
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run_to(tmp_path / "run", method=Faulty(), stream=stream)
    assert closed == [0]


def test_a_finished_run_is_left_alone(tmp_path):
    run_to(tmp_path / "run")
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "run").rglob("*") if p.name != ".lock"}
    run_to(tmp_path / "run")
    assert {p: p.stat().st_mtime_ns for p in (tmp_path / "run").rglob("*") if p.name != ".lock"} == before


# --- what is no number -----------------------------------------------------------------------------------


def spoilt(value, *steps):
    """A stream whose images are of another value at some steps (counted from 0)."""

    def stream(first, last):
        for step, batch in zip(range(first, last), batches(first, last), strict=True):
            yield Numbers(torch.full_like(batch.image, value)) if step in steps else batch

    return stream


class Rooted(Toy):
    """Where images are of 9, a loss of 0 whose gradient is no number: the root's slope at 0, times 0."""

    def step(self, batch, update):
        if batch.image.max() == 9:
            loss = (self.layer(batch.image) * 0).abs().sqrt().mean()
            return update("layer", {"root": loss})
        return super().step(batch, update)


def steps_logged(run):
    return [json.loads(line)["step"] for line in (run / "metrics.jsonl").read_text().splitlines()]


def weights(run):
    return {path.name: path.read_bytes() for path in sorted((run / "checkpoints/step-00000006").iterdir())}


@pytest.mark.parametrize(
    ("method", "value", "said"),
    [
        (Toy, torch.nan, 'loss "size" is nan at step 4: the batch\'s image holds values that are none'),
        (Toy, torch.inf, 'loss "size" is nan at step 4: the batch\'s image holds values that are none'),
        (Rooted, 9, "the gradient of layer.weight is no number at step 4"),
    ],
)
def test_a_step_that_teaches_no_number_is_named_and_passed_over(tmp_path, capsys, method, value, said):
    run = tmp_path / "run"
    run_to(run, method=method(), stream=spoilt(value, 3))
    assert json.loads((run / "skipped_steps.json").read_text()) == {"4": said}
    assert f"toy: {said}; back to the last checkpoint, this step is passed over (1 of 3" in capsys.readouterr().err
    assert steps_logged(run) == [1, 2, 3, 5, 6]
    run_to(tmp_path / "again", method=method(), stream=spoilt(value, 3))
    assert weights(tmp_path / "again") == weights(run)


def test_a_step_that_is_passed_over_may_have_no_pictures(tmp_path):
    run_to(tmp_path, stream=spoilt(torch.nan, 2))
    assert list(json.loads((tmp_path / "skipped_steps.json").read_text())) == ["3"]
    assert [path.name for path in (tmp_path / "previews").iterdir()] == ["step-00000006.jpg"]


class Spoilt(Toy):
    """Whose weights are no numbers after a step with images of 9, though no loss or gradient is none."""

    def step(self, batch, update):
        found = super().step(batch, update)
        if batch.image.max() == 9:
            self.layer.weight.data.fill_(torch.nan)
        return found


def test_weights_that_pictures_show_to_be_no_numbers_are_not_learnt(tmp_path):
    """Step 3 is not saved, but shown."""
    run_to(tmp_path, method=Spoilt(), stream=spoilt(9, 2))
    why = "An image holds values that are not numbers: the network that made it has diverged"
    assert json.loads((tmp_path / "skipped_steps.json").read_text()) == {"3": why}
    assert steps_logged(tmp_path) == [1, 2, 4, 5, 6]


def test_gradients_that_are_large_are_numbers():
    """Of 1e30, whose squares float32 does not hold; at a rate of 1e-30 the weight becomes 2 - 1."""
    weight = nn.Parameter(torch.tensor([2.0]))
    update = PerformedUpdate({"weight": torch.optim.SGD([weight], lr=1e-30)}, 0)
    update("weight", {"size": (weight * 1e30).sum()})
    assert weight.item() == pytest.approx(1.0)


def test_a_run_that_is_carried_on_passes_over_the_same_steps(tmp_path):
    run_to(tmp_path / "whole", stream=spoilt(torch.nan, 3))

    def stream(first, last):
        for step, batch in zip(range(first, last), spoilt(torch.nan, 3)(first, last), strict=True):
            if step == 5 and (tmp_path / "cut/skipped_steps.json").exists() and first < 4:
                raise ZeroDivisionError
            yield batch

    with pytest.raises(ZeroDivisionError):
        run_to(tmp_path / "cut", stream=stream)
    run_to(tmp_path / "cut", stream=stream)
    assert weights(tmp_path / "cut") == weights(tmp_path / "whole")
    assert steps_logged(tmp_path / "cut") == steps_logged(tmp_path / "whole")


def test_the_fourth_step_that_teaches_no_number_ends_the_run(tmp_path):
    """Steps 4, 5 and 6 are passed over; the checkpoint of step 6 holds what step 3 left."""
    run = tmp_path / "run"
    for _ in range(2):  # the same command again comes no further
        with pytest.raises(
            NumericalError, match=r'loss "size" is nan at step 7; .* from before, and 3 steps'
        ) as caught:
            run_to(run, steps=10, method=Toy(spoil_at=3))
        assert caught.value.exit_code == 7 and str(run / "skipped_steps.json") in str(caught.value)
    assert list(json.loads((run / "skipped_steps.json").read_text())) == ["4", "5", "6"]
    newest = sorted((run / "checkpoints").iterdir())[-1]
    assert newest.name == "step-00000006"
    assert int(load_file(newest / "method.safetensors")["steps"]) == 3


class Overflowing(Toy):
    """Whose weights, or moments, are infinite after step 4, though no loss or gradient is."""

    spoils = "weight"

    def step(self, batch, update):
        found = super().step(batch, update)
        if int(self.steps) == 4 and batch.image.max() < 1:
            moments = self._optimizer.state[self.layer.weight]
            target = self.layer.weight.data if self.spoils == "weight" else moments["exp_avg_sq"]
            target.fill_(torch.inf)
        return found


@pytest.mark.parametrize(
    ("method", "stream"),
    [(Toy, spoilt(torch.nan, 3)), (Overflowing, batches)],
    ids=["of what the step teaches", "of what it saves"],
)
def test_a_signal_is_not_forgotten_over_what_is_no_number(tmp_path, method, stream):
    """The step is known for one to be passed over, and what a run does that nobody stopped is done later."""

    class StoppedToo(Stopped, method):
        pass

    run_to(tmp_path / "whole", method=method(), stream=stream)
    with pytest.raises(Interrupted, match="SIGTERM at step 4 of 6: the last checkpoint is kept in"):
        run_to(tmp_path / "stopped", method=StoppedToo(4), stream=stream)
    assert list(json.loads((tmp_path / "stopped/skipped_steps.json").read_text())) == ["4"]
    run_to(tmp_path / "stopped", method=method(), stream=stream)
    assert content(tmp_path / "stopped") == content(tmp_path / "whole")


@pytest.mark.parametrize(
    ("spoils", "said"), [("weight", r"^layer\.weight holds"), ("moment", r"^the optimizer's layer/0/exp_avg_sq holds")]
)
def test_what_is_no_number_never_reaches_a_file(tmp_path, spoils, said):
    """What spoils step 4 spoils every step that is the fourth to be learnt."""
    method = Overflowing()
    method.spoils = spoils
    with pytest.raises(NumericalError, match="3 steps were passed over already"):
        run_to(tmp_path / "run", steps=20, method=method)
    skipped = json.loads((tmp_path / "run/skipped_steps.json").read_text())
    assert sorted(skipped) == ["4", "5", "6"] and re.match(said, skipped["4"])
    for checkpoint in (tmp_path / "run/checkpoints").iterdir():
        for name in ("method", "optimizers"):
            assert all(value.isfinite().all() for value in load_file(checkpoint / f"{name}.safetensors").values())


class Twice(Toy):
    """Updates its layer and uses it again within one step."""

    def step(self, batch, update):
        before = self.layer(batch.image)
        update("layer", {"size": before.square().mean()})
        self.moved = bool((self.layer(batch.image) != before).any())
        return {"size": before.detach().mean()}


def test_weights_used_again_in_a_step_are_the_updated_ones_in_bf16_too(tmp_path):
    run, method = RunFolder(tmp_path / "run", {}), Twice()
    method._optimizer.param_groups[0]["lr"] = 1.0
    machine = Machine(torch.device("cpu"), "bf16")
    nn.init.zeros_(method.layer.bias).requires_grad_(False)
    train(method, batches, run, Schedule(1, 7), machine, {"stage": "toy"}, "toy")
    run.close()
    assert method.moved


def test_learning_rates_follow_the_step(tmp_path):
    method = Toy()
    run_to(tmp_path / "run", method=method)
    assert method.optimizers()["layer"].param_groups[0]["lr"] == pytest.approx(0.01 / 6)


def test_weights_that_are_no_numbers_are_never_saved(tmp_path):
    method = Toy()
    with torch.no_grad():
        method.layer.weight[0] = torch.inf
    with pytest.raises(NumericalError, match=r"layer\.weight holds values that are no numbers at step 0"):
        run_to(tmp_path / "run", method=method)
    assert list((tmp_path / "run/checkpoints").iterdir()) == []


class Speaking(Toy):
    """Has something to say of every log, and at step 4 gives up."""

    def warnings(self, logged):
        if int(self.steps) == 4:
            raise Collapsed("all is one class; lower the learning rate")
        return [f"size is {logged['size']:.1f}"] if int(self.steps) == 2 else []


def test_what_a_method_says_of_its_log_is_shown_and_a_collapse_stops_the_run(tmp_path, capsys):
    with pytest.raises(NumericalError, match=r"^step 4: all is one class; lower the learning rate$"):
        run_to(tmp_path / "run", method=Speaking())
    assert "step 2: size is " in capsys.readouterr().err


class Remembering(Toy):
    """Notes what it is asked to warn of, and what to have seen before."""

    def __init__(self):
        super().__init__()
        self.seen = None

    def recall(self, logged):
        self.seen = list(logged)

    def warnings(self, logged):
        self.seen.append(logged)
        return []


def test_a_resumed_method_has_seen_what_was_logged_before_its_checkpoint(tmp_path):
    """Else one that collapsed just before a kill would never be known to have seen better days."""
    straight, stopped, resumed = Remembering(), Remembering(), Remembering()
    run_to(tmp_path / "straight", method=straight)
    with pytest.raises(MemoryError):
        run_to(tmp_path / "run", method=stopped, stream=at_step(5, run_out_of_memory))
    assert len(stopped.seen) == 5, "the fifth step is after the last checkpoint"
    run_to(tmp_path / "run", method=resumed)
    assert resumed.seen == straight.seen and [row.keys() for row in resumed.seen] == [{"size"}] * 6


def test_families_of_values_are_not_shown_beside_the_progress():
    assert headline({"size": 1.0, "share/road": 0.25, "weight": 0.5}) == "size 1.000 weight 0.500"
