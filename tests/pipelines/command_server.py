"""A process that runs sim2real commands in forked copies of itself: what they do is real, torch is imported once.

Reads one JSON request per line, {"argv": [...], "folder": ..., "trap": ..., "limits": {...}, "decoder": ...}, and
answers with {"code": ...}; output is in folder/stdout and folder/stderr. A trap sends the copy a signal at the n-th
call of a function, before or after it acts, so that a run can be killed at exactly the same place every time; or the
call fails there with an error of the system. Limits are those of `setrlimit`, by name. A decoder is the name of another
program than the usual one. No tensor is computed here: forks must stay safe.
"""

import errno
import importlib
import json
import os
import resource
import signal
import sys
from pathlib import Path

from tests.pipelines.hangs import HANGS_S


def main():
    # What commands import when they need it, as long as it takes seconds: each copy would do so anew.
    import sklearn.decomposition
    import sklearn.manifold  # noqa: F401
    import torchvision.tv_tensors  # noqa: F401

    from pipelines import cli
    from pipelines.data.decoding import decoders
    from pipelines.pretrained import read_published
    from pipelines.report import tables  # noqa: F401
    from pipelines.stages.comparison import (
        compare,  # noqa: F401
        inputs,  # noqa: F401
    )
    from pipelines.stages.predicting import prediction  # noqa: F401
    from pipelines.stages.translating import translate_experiment  # noqa: F401
    from segment.networks import NETWORKS
    from tests.pipelines.narrow import narrow_ddrnet
    from tests.pipelines.syncing import ask_no_disk
    from tests.pipelines.unpickling import unpickled

    NETWORKS["ddrnet23_slim"] = narrow_ddrnet
    read_published._unpickled = unpickled
    os.fsync = ask_no_disk

    for line in sys.stdin:
        request = json.loads(line)
        child = os.fork()
        if child == 0:
            decoders.PROGRAM = request.get("decoder") or decoders.PROGRAM
            run_copy(cli.main, request)
        status = os.waitpid(child, 0)[1]
        print(json.dumps({"code": os.waitstatus_to_exitcode(status)}), flush=True)


def run_copy(command, request):
    """Become the command: own session, own output files, and leave with its exit code."""
    code = 1
    try:
        os.setsid()
        signal.alarm(HANGS_S)
        # Whoever started the tests may ignore it, as a shell does for what runs in its background.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        for descriptor, name in ((1, "stdout"), (2, "stderr")):
            file = os.open(Path(request["folder"]) / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(file, descriptor)
        os.chdir(request["folder"])
        if request["trap"]:
            set_trap(**request["trap"])
        for name, value in request.get("limits", {}).items():
            kind = getattr(resource, f"RLIMIT_{name}")
            resource.setrlimit(kind, (value, resource.getrlimit(kind)[1]))
        sys.argv = ["sim2real", *request["argv"]]
        command()
        code = 0
    except SystemExit as stopped:
        code = stopped.code or 0
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def set_trap(call, at=1, holding="", after=False, signal_name="SIGKILL", group=False, times=1, error=""):
    """Replace the function `call` ("os.replace", "package.module.Class.method") by one that springs the trap.

    Args:
        call: Dotted name of a function.
        at: Which call counts, of those whose arguments hold the text `holding`.
        holding: See `at`.
        after: Let the call act first.
        signal_name: What is sent.
        group: Send it to the worker processes too, as a terminal or a batch system does.
        times: How often it is sent.
        error: Of errno, such as "ENOSPC": the call, and each one after it, fails with it instead.
    """
    owner, name = resolve(call)
    original, calls = getattr(owner, name), []

    def trapped(*arguments, **options):
        if holding in " ".join(map(str, arguments)):
            calls.append(1)
            if error and len(calls) >= at:
                raise OSError(getattr(errno, error), os.strerror(getattr(errno, error)))
            if len(calls) == at:
                result = original(*arguments, **options) if after else None
                number = signal.Signals[signal_name]
                for _ in range(times):
                    os.killpg(0, number) if group else os.kill(os.getpid(), number)
                return result if after else original(*arguments, **options)
        return original(*arguments, **options)

    setattr(owner, name, trapped)


def resolve(dotted):
    """The owner (module or class) and the last part of a dotted name."""
    parts = dotted.split(".")
    for split in range(len(parts) - 1, 0, -1):
        try:
            owner = importlib.import_module(".".join(parts[:split]))
        except ModuleNotFoundError:
            continue
        for part in parts[split:-1]:
            owner = getattr(owner, part)
        return owner, parts[-1]
    raise ModuleNotFoundError(dotted)


if __name__ == "__main__":
    main()
