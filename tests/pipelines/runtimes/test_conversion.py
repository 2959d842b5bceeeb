"""Foreign converters fail in one line of ours."""

import contextlib
import importlib.util
import logging
import subprocess
import sys
import threading
import warnings
from pathlib import Path

import pytest

from pipelines.errors import UserError
from pipelines.runtimes.conversion import compiled_for_openvino, converting, free_sides, refuse_absent_runtime

pytestmark = pytest.mark.runtimes


def test_a_failure_is_one_line():
    with (
        pytest.raises(
            UserError,
            match=r"^the network cannot be converted to ONNX: no such operator\. Torch computes it without \(--",
        ),
        converting("ONNX"),
    ):
        raise RuntimeError("\nno such operator\nat line 5\nat line 6")


def test_a_failure_without_words_has_its_kind():
    with pytest.raises(UserError, match="StopIteration"), converting("ONNX"):
        raise StopIteration


@pytest.mark.parametrize(
    ("mode", "can", "precision"),
    [("fast", ["FP32", "BF16"], "bf16"), ("fast", ["FP32"], "f32"), ("exact", ["BF16"], "f32")],
)
def test_fast_is_bf16_where_the_processor_has_it(monkeypatch, mode, can, precision):
    asked = []

    class Core:
        def get_property(self, device, name):
            return can

        def compile_model(self, model, device, settings):
            asked.append(settings["INFERENCE_PRECISION_HINT"])

    monkeypatch.setattr("pipelines.runtimes.conversion.openvino_core", Core)
    compiled_for_openvino(None, mode)
    assert asked == [precision]


def test_our_own_refusals_pass():
    with pytest.raises(UserError, match=r"^not installed$"), converting("ONNX"):
        raise UserError("not installed")


def test_remarks_are_kept_from_people(caplog):
    with warnings.catch_warnings(), converting("ONNX"):
        warnings.simplefilter("error")
        logging.getLogger("converter").warning("an inside")
    assert not caplog.records
    logging.getLogger("converter").warning("outside")
    assert len(caplog.records) == 1


def test_two_threads_that_convert_leave_warnings_as_they_were():
    """The first leaves before the second: restored by each as it found them, they would stay off."""
    before = logging.root.manager.disable, list(warnings.filters)
    both_inside, first_left = threading.Barrier(2), threading.Event()

    def convert(first):
        with converting("ONNX"):
            with contextlib.suppress(threading.BrokenBarrierError):  # as it shall be: nobody else comes in
                both_inside.wait(0.2)
            if not first and not both_inside.broken:
                first_left.wait()
        first_left.set()

    threads = [threading.Thread(target=convert, args=[first]) for first in (True, False)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (logging.root.manager.disable, list(warnings.filters)) == before


@pytest.mark.parametrize("multiple", [1, 8])
def test_sides_that_are_free(multiple):
    assert set(free_sides(multiple, 2 * multiple)["image"]) == {0, 2, 3}


GIVEN_UP = """
import signal, sys, threading
from torch import nn
from pipelines.runtimes.conversion import compiled_for_openvino, converted_to_openvino
plans = [compiled_for_openvino(converted_to_openvino(nn.ReLU()), "exact") for _ in range(3)]
while plans:
    plans.pop(0)
signal.signal(signal.SIGTERM, lambda *_: print("handled"))
signal.raise_signal(signal.SIGTERM)
print(sys.modules["openvino_telemetry"], threading.active_count())
"""


TWO_AT_ONCE = """
import threading
from pipelines.runtimes.conversion import load_openvino, openvino_core
openvino, both, made, got = load_openvino(), threading.Barrier(2), [], []
make = openvino.Core
def watched():
    made.append(make())
    try:
        both.wait(0.2)
    except threading.BrokenBarrierError:
        pass
    return made[-1]
openvino.Core = watched
threads = [threading.Thread(target=lambda: got.append(openvino_core())) for _ in range(2)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(len(made), got[0] is got[1], flush=True)
"""


def in_a_process_with_openvino(code):
    if importlib.util.find_spec("openvino") is None:
        pytest.skip("needs the extra openvino: not installed")
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=Path(__file__).parents[3], check=False
    )


@pytest.fixture(scope="module")
def given_up():
    """What a process leaves that made three plans for OpenVINO, gave them up oldest first, and then got a signal."""
    return in_a_process_with_openvino(GIVEN_UP)


def test_two_threads_get_one_core():
    ended = in_a_process_with_openvino(TWO_AT_ONCE)
    assert ended.stdout == "1 True\n", ended.stderr


def test_a_signal_is_handled_after_plans_were_given_up(given_up):
    """With a core for each plan, the signal is answered on a stack that is no more, and the process dies."""
    assert given_up.returncode == 0, given_up.stderr
    assert given_up.stdout.startswith("handled\n")


def test_openvino_reports_to_nobody(given_up):
    """OpenVINO's telemetry would be a thread that forks this process, for every conversion."""
    assert given_up.stdout.splitlines()[-1] == "None 1"


@pytest.mark.parametrize(("runtime", "package"), [("openvino", "openvino"), ("onnxruntime", "onnxscript")])
def test_a_runtime_that_is_not_there_is_refused(monkeypatch, runtime, package):
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == package else real(name))
    with pytest.raises(UserError, match=rf"^{package} is not installed; pip install 'sim2real\["):
        refuse_absent_runtime(runtime, "cpu")
    with pytest.raises(UserError, match=f"--runtime {runtime} computes on the CPU alone"):
        refuse_absent_runtime(runtime, "cuda")
    refuse_absent_runtime("torch", "cuda")
