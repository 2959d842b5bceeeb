"""Commands run by several processes as torchrun would start them; as a script, what really is started.

`python launched.py` is a server: it forks the processes of each request from itself, so that torch is imported once. A
request is a line of JSON, a list of what `fork` takes; the answer is the list of exit codes. `torchrun launched.py
ARGUMENTS` runs one process of a command; MISHAPS, {"1": "is_killed"}, says what is to happen in that of a rank. No
tensor is computed in the server: forks must stay safe.
"""

import json
import os
import signal
import subprocess
import sys
import time
import traceback
from pathlib import Path


def main():
    for line in sys.stdin:
        children = [fork(**process) for process in json.loads(line)]
        codes = [exit_code(child) for child in children]
        print(json.dumps(codes), flush=True)


def exit_code(child):
    """How it ended; None for one that was frozen, which is ended then: all before it have ended by themselves."""
    _, status = os.waitpid(child, os.WUNTRACED)
    if not os.WIFSTOPPED(status):
        return os.waitstatus_to_exitcode(status)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return None


def fork(command, environment, mishap, output):
    """Start a process; nobody ends it when another one fails.

    Args:
        command: Arguments of `sim2real`.
        environment: Its place among the others, as a launcher says it.
        mishap: Name of what is to happen in it, or None.
        output: Path of the files that it writes, less their last words: "-stdout" and "-stderr".
    """
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        from tests.pipelines.hangs import HANGS_S

        signal.alarm(HANGS_S)
        for descriptor, name in ((1, "stdout"), (2, "stderr")):
            file = os.open(f"{output}-{name}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(file, descriptor)
        os.environ.update(environment)
        run(command, mishap)
        code = 0
    except Exception:
        traceback.print_exc()
    except SystemExit as stopped:
        code = stopped.code or 0
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def run(arguments, mishap):
    """The command, with what is to happen in it; a training in fp64."""
    from pipelines import cli
    from segment.networks import NETWORKS
    from tests.pipelines.narrow import narrow_ddrnet

    NETWORKS["ddrnet23_slim"] = narrow_ddrnet
    if "train" in arguments[:2]:
        train_in_double()
    if mishap:
        globals()[mishap]()
    sys.argv = ["sim2real", *arguments]
    cli.main()


def train_in_double():
    """Else rounding would hide whether several processes learn what one does."""
    import torch

    from pipelines.data.images import to_tensor
    from pipelines.data.sampling import paired_batches, translated_batches, unpaired_batches
    from tests.pipelines.precision import at_least_single
    from translate.methods.pix2pixhd import Pix2pixHD

    torch.set_default_dtype(torch.float64)
    torch.Tensor.float = at_least_single
    # A translator computes in the precision of its images.
    for module in (unpaired_batches, paired_batches, translated_batches):
        module.to_tensor = lambda image: to_tensor(image).double()
    layout = Pix2pixHD.layout
    Pix2pixHD.layout = lambda self, *given: layout(self, *given).double()


# --- mishaps ----------------------------------------------------------------------------------------------------------


def in_step(number, act):
    """Have something happen where a step of a segmenter, counted from 1, compares its predictions with the truth."""
    from segment.methods.segmenter_training import SegmenterTraining

    original, calls = SegmenterTraining.supervised_losses, []

    def losses(self, output, label_map):
        calls.append(1)
        result = original(self, output, label_map)
        return act(result) or result if len(calls) == number else result

    SegmenterTraining.supervised_losses = losses


def is_killed_looking():
    """In the middle of a pass over frames."""
    from pipelines.runtimes.frame_prediction import FramePredictor

    FramePredictor.label_map = lambda *given: os.kill(os.getpid(), signal.SIGKILL)


def counts_two_frames():
    """An audit does, and would fail at a third."""
    from pipelines.stages.quality import translation_audit

    original, left = translation_audit._count, [1, 2]

    def count(*given):
        left.pop()
        return original(*given)

    translation_audit._count = count


def is_killed():
    in_step(2, lambda losses: os.kill(os.getpid(), signal.SIGKILL))


def loses_a_worker():
    """Which makes its batches."""
    from torch.utils.data import get_worker_info

    from pipelines.data.sampling.labelled_batches import LabelledBatches

    original = LabelledBatches.__call__

    def call(self, step):
        if step == 2 and get_worker_info() is not None:
            os.kill(os.getpid(), signal.SIGKILL)
        return original(self, step)

    LabelledBatches.__call__ = call


def is_frozen():
    """It closes no connection."""
    in_step(2, lambda losses: os.kill(os.getpid(), signal.SIGSTOP))


def is_impatient():
    """It waits no longer for the silent than it takes to be sure on a busy machine."""
    os.environ["SIM2REAL_SILENCE_S"] = "10"


def loses_its_cable():
    """In a network namespace whose only interface is "cable"."""
    in_step(2, lambda losses: subprocess.run(["ip", "link", "set", "cable", "down"], check=True) and None)


def is_asked_to_stop():
    in_step(2, lambda losses: os.kill(os.getpid(), signal.SIGTERM))


def waits_for_a_batch():
    """That of step 2, which never comes, and is asked to stop."""
    from pipelines.data.sampling.labelled_batches import LabelledBatches

    original = LabelledBatches.__call__

    def call(self, step):
        if step == 1:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(1000)
        return original(self, step)

    LabelledBatches.__call__ = call


def overflows():
    """Weights do, in step 2, though no loss or gradient shows it."""
    import torch

    from pipelines.engine.loop import PerformedUpdate

    original = PerformedUpdate.step

    def step(self, *optimizers):
        original(self, *optimizers)
        if self._step == 1:
            next(self._method.parameters()).data.fill_(torch.inf)

    PerformedUpdate.step = step


def overflows_when_asked_to_stop():
    overflows()
    is_asked_to_stop()


def loses_its_numbers():
    in_step(1, lambda losses: losses | {"main": losses["main"] * float("nan")})


def has_no_numbers():
    """In no step."""
    from segment.methods.segmenter_training import SegmenterTraining

    original = SegmenterTraining.supervised_losses

    def losses(*given):
        found = original(*given)
        return found | {"main": found["main"] * float("nan")}

    SegmenterTraining.supervised_losses = losses


def has_a_bug():
    in_step(1, lambda losses: 1 // 0)


def stops_its_launcher():
    """Ask the launcher to stop, and go on when it has passed this on."""

    def act(losses):
        arrived, told = os.pipe()
        os.set_blocking(told, False)
        signal.set_wakeup_fd(told)
        os.kill(os.getppid(), signal.SIGTERM)
        os.read(arrived, 1)

    in_step(2, act)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[2]))
    if len(sys.argv) > 1:
        run(sys.argv[1:], json.loads(os.environ["MISHAPS"]).get(os.environ["RANK"]))
    else:
        # All that a training takes, else each process imports it anew: of seven seconds in three steps, six were that.
        import torch._dynamo  # noqa: F401
        import torchvision.tv_tensors  # noqa: F401

        import pipelines.cli
        import pipelines.experiment.config
        import pipelines.stages.training.train_segmenter
        import pipelines.stages.training.train_translator  # noqa: F401
        from tests.pipelines.syncing import ask_no_disk

        os.fsync = ask_no_disk
        main()
