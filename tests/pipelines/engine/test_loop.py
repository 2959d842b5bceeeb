"""The one loop: what it writes, how it stops, and that a resumed run ends with the same bytes."""

import json
import os
import signal
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor, nn

from pipelines.engine.launch import Machine
from pipelines.engine.loop import Schedule, headline, train
from pipelines.engine.runs import RunFolder
from pipelines.errors import Interrupted, NumericalError, UserError
from segment.guards import Collapsed
from segment.methods.method import Method

CPU = Machine(torch.device("cpu"), "fp32")


@dataclass
class Numbers:
    image: Tensor

    def to(self, device):
        return Numbers(self.image.to(device))


class Toy(Method):
    """Learns to output zeros, with dropout so that the random state matters."""

    def __init__(self, spoil_at: int | None = None) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.layer = nn.Conv2d(3, 3, 1)
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))
        self.spoil_at = spoil_at
        self._optimizer = torch.optim.Adam(self.parameters(), lr=0.01)

    def optimizers(self):
        return {"layer": self._optimizer}

    def learning_rate_scale(self, step):
        return 1 / (1 + step)

    def step(self, batch, update):
        loss = nn.functional.dropout(self.layer(batch.image), 0.5).square().mean()
        if int(self.steps) == self.spoil_at:
            loss = loss * torch.nan
        update("layer", {"size": loss})
        self.steps += 1
        return {"size": loss}

    def preview(self, batch):
        return {"image": batch.image, "output": self.layer(batch.image).sigmoid()}


def batches(first, last):
    for step in range(first, last):
        yield Numbers(torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(step)))


def run_to(path, steps=6, method=None, stream=batches, **schedule):
    run = RunFolder(path, {"steps": steps})
    try:
        train(method or Toy(), stream, run, Schedule(steps, 7, 2, 1, 3, **schedule), CPU, {"stage": "toy"}, "toy")
    finally:
        run.close()


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


def at_step(wanted, action):
    """A stream of batches in which something happens before a step."""

    def stream(first, last):
        for step, batch in zip(range(first, last), batches(first, last), strict=True):
            if step == wanted:
                action()
            yield batch

    return stream


def ask_to_stop():
    os.kill(os.getpid(), signal.SIGTERM)


def run_out_of_memory():
    raise MemoryError


def test_a_stopped_run_carries_on_to_the_same_bytes(tmp_path):
    run_to(tmp_path / "whole")
    with pytest.raises(Interrupted, match="SIGTERM at step 3 of 6"):
        run_to(tmp_path / "stopped", stream=at_step(2, ask_to_stop))
    run_to(tmp_path / "stopped")
    assert content(tmp_path / "stopped") == content(tmp_path / "whole")


def test_a_signal_in_the_last_step_is_not_swallowed(tmp_path):
    """Else the next stage would begin, and be killed half a minute later by whoever sent it."""
    with pytest.raises(Interrupted, match="SIGTERM at step 6 of 6"):
        run_to(tmp_path / "run", stream=at_step(5, ask_to_stop))
    run_to(tmp_path / "run")
    assert (tmp_path / "run/checkpoints/step-00000006").is_dir()


def test_a_crash_between_checkpoints_loses_nothing_but_time(tmp_path):
    run_to(tmp_path / "whole")

    with pytest.raises(MemoryError):
        run_to(tmp_path / "crashed", stream=at_step(5, run_out_of_memory))
    run_to(tmp_path / "crashed")
    assert content(tmp_path / "crashed") == content(tmp_path / "whole")


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


def test_a_loss_that_is_no_number_stops_the_run_and_is_named(tmp_path):
    with pytest.raises(NumericalError, match='loss "size" is nan at step 4'):
        run_to(tmp_path / "run", method=Toy(spoil_at=3))
    checkpoint = sorted((tmp_path / "run/checkpoints").iterdir())[-1]
    assert checkpoint.name == "step-00000002"


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


def test_other_settings_are_refused_or_set_aside(tmp_path):
    run_to(tmp_path / "run", steps=3)
    with pytest.raises(UserError, match="steps was 3, now 4"):
        RunFolder(tmp_path / "run", {"steps": 4})
    RunFolder(tmp_path / "run", {"steps": 4}, restart=True).close()
    assert (tmp_path / "run.replaced-1/metrics.jsonl").exists()
    assert not (tmp_path / "run/metrics.jsonl").exists()


def test_two_processes_cannot_share_a_run(tmp_path):
    run = RunFolder(tmp_path / "run", {})
    with pytest.raises(UserError, match="in use by another process"):
        RunFolder(tmp_path / "run", {})
    run.close()
    RunFolder(tmp_path / "run", {}).close()


def test_restart_does_not_take_a_run_from_under_another_process(tmp_path):
    run = RunFolder(tmp_path / "run", {"steps": 3})
    with pytest.raises(UserError, match="in use by another process"):
        RunFolder(tmp_path / "run", {"steps": 4}, restart=True)
    run.close()
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


@pytest.mark.parametrize("damage", [b"{", b"\xff\xfe\x00", b"[]"])
def test_a_damaged_config_is_refused_or_set_aside(tmp_path, damage):
    RunFolder(tmp_path / "run", {"steps": 3}).close()
    (tmp_path / "run/config.json").write_bytes(damage)
    with pytest.raises(UserError, match="--restart to set it aside"):
        RunFolder(tmp_path / "run", {"steps": 3})
    RunFolder(tmp_path / "run", {"steps": 3}, restart=True).close()
    assert (tmp_path / "run.replaced-1/config.json").read_bytes() == damage
    assert json.loads((tmp_path / "run/config.json").read_text()) == {"steps": 3}


def test_half_written_files_of_a_killed_run_are_swept_up(tmp_path):
    RunFolder(tmp_path / "run", {}).close()
    (tmp_path / "run/previews").mkdir()
    leftovers = [tmp_path / "run/.metrics.jsonl.17.part", tmp_path / "run/previews/.step-00000002.jpg.17.part"]
    for leftover in leftovers:
        leftover.write_bytes(b"half")
    RunFolder(tmp_path / "run", {}).close()
    assert not any(leftover.exists() for leftover in leftovers)


def test_a_run_does_not_change_its_precision_half_way(tmp_path):
    with pytest.raises(MemoryError):
        run_to(tmp_path / "run", stream=at_step(5, run_out_of_memory))
    run = RunFolder(tmp_path / "run", {"steps": 6})
    try:
        with pytest.raises(UserError, match="was begun in fp32 and would go on in bf16; add --precision fp32"):
            train(Toy(), batches, run, Schedule(6, 7), Machine(torch.device("cpu"), "bf16"), {"stage": "toy"}, "toy")
    finally:
        run.close()


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


def test_families_of_values_are_not_shown_beside_the_progress():
    assert headline({"size": 1.0, "share/road": 0.25, "weight": 0.5}) == "size 1.000 weight 0.500"
