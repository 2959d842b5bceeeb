"""Networks as graphs for other runtimes, ONNX and OpenVINO, and those runtimes opened on the CPU.

Both are extras. What comes out has one input, "image", of any batch, height and width. Whoever converts compares it
with the network, because a converter that misunderstands a network says nothing.
"""

import contextlib
import copy
import functools
import importlib.util
import logging
import shutil
import sys
import threading
import warnings
from collections.abc import Iterator, Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn

from pipelines.errors import UserError

OPSET = 18
SETTING_UP = threading.RLock()
"""Held by the thread that converts, or makes OpenVINO's core: what both set is the whole process'."""
OF_THE_CPU = ("onnxruntime", "openvino")
"""Runtimes that compute on the CPU alone."""
NEEDED = {"openvino": (("openvino",), "openvino"), "onnxruntime": (("onnx", "onnxscript", "onnxruntime"), "export")}
"""What converting for a runtime and running it takes, and the extra that brings it."""
TRACED = 256
"""Side, about, of the image that converters watch a network on."""


def converted_to_openvino(network: nn.Module, output: str = "translation") -> Any:
    """The OpenVINO model of a network that takes an image, height and width free.

    Args:
        network: Takes (B, 3, H, W); left alone.
        output: Name of the result.

    Raises:
        UserError: OpenVINO is not installed.
    """
    openvino = load_openvino()
    example = torch.zeros(1, 3, TRACED, TRACED)
    program = copy.deepcopy(network).cpu().float().eval()
    with torch.no_grad(), converting("OpenVINO"):
        model = openvino.convert_model(program, example_input=example, input=[-1, 3, -1, -1])
    model.inputs[0].get_tensor().set_names({"image"})
    model.outputs[0].get_tensor().set_names({output})
    return model


def compiled_for_openvino(model: Any, mode: Literal["exact", "fast"]) -> Any:
    """Ready to run on the CPU. The precision is pinned: left to itself, OpenVINO takes bf16 where the processor can.

    Threads are not: one that is bound to a core waits for whatever else runs there, decoding for one, and the others
    for it (DDRNet-23-slim at 1024x512 on a machine with other work: 50 ms of CPU time over two threads, unbound 43).
    """
    core = openvino_core()
    # A processor without bf16 computes in float32, which is exact.
    in_bf16 = mode == "fast" and "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    precision = "bf16" if in_bf16 else "f32"
    settings = {
        "INFERENCE_PRECISION_HINT": precision, "INFERENCE_NUM_THREADS": torch.get_num_threads(),
        "ENABLE_CPU_PINNING": False, "ENABLE_HYPER_THREADING": False,
    }  # fmt: skip
    return core.compile_model(model, "CPU", settings)


def openvino_core() -> Any:
    """The one core of this process, whichever thread asks first, kept until the process ends; make no other.

    A core loads the CPU plugin, which sets an alternate stack for signals and unmaps it when the last plan of that core
    is given up. Of several cores, each sets back the stack of the one before, which may be unmapped by then; Python's
    signal handlers use that stack, so the next signal with a handler (SIGTERM, Ctrl-C, SIGCHLD once a DataLoader with
    workers has been made) ends the process or writes over whatever has been mapped there since.

    Source: `SigAltStackSetup` of OpenVINO's CPU plugin, since 2022 (pull request 11894), seen in 2026.4.1.
    """
    with SETTING_UP:
        return _core()


@functools.cache
def _core() -> Any:
    return load_openvino().Core()


def load_openvino() -> Any:
    """The package, without its telemetry. UserError where it is not installed."""
    require_for("openvino")
    forbid_telemetry()
    import openvino

    return openvino


def forbid_telemetry() -> None:
    """Have OpenVINO and NNCF find none; to be called before either is imported.

    Left to itself, every import and conversion reports to a server of Google's, from threads that fork this process;
    nobody has agreed to that.
    """
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # "cannot be imported", for import


def onnx_bytes(
    network: nn.Module, output: str, about: dict[str, str], example: Tensor, multiple: int, smallest: int
) -> bytes:
    """A network that takes an image as an ONNX model, batch, height and width free.

    Args:
        network: Takes (B, 3, H, W); on the CPU.
        output: Name of the result.
        about: Metadata of the model.
        example: The image that the network is watched on; of two or more, since one is taken for always one.
        multiple: Of which H and W are.
        smallest: What they are at least.

    Raises:
        UserError: The extra is not installed.
    """
    require_for("onnxruntime")
    with torch.no_grad(), converting("ONNX"), maps_of_one_pixel(smallest <= multiple):
        program = torch.onnx.export(
            network, (example,), dynamo=True, dynamic_shapes=free_sides(multiple, smallest), opset_version=OPSET,
            input_names=["image"], output_names=[output], verbose=False,
        )  # fmt: skip
    model = program.model_proto
    for key, value in about.items():
        model.metadata_props.add(key=key, value=value)
    return model.SerializeToString()


@contextlib.contextmanager
def maps_of_one_pixel(allowed: bool) -> Iterator[None]:
    """For torch.export: a side that is free may be 1 as well, where that is allowed.

    By itself it takes sides of 1 for another case, which it leaves to another export: the program of a U-Net, which
    shrinks its smallest images to one pixel, would refuse these. Networks that pool to fixed sizes, such as DDRNet,
    cannot be exported so.
    """
    with torch.fx.experimental._config.patch(backed_size_oblivious=allowed):
        yield


def free_sides(multiple: int, smallest: int) -> dict[str, Any]:
    """For torch.export: images of any batch, height and width from `smallest` on; both divide by `multiple`."""
    least = -(-smallest // multiple)
    sides = torch.export.Dim("rows", min=least), torch.export.Dim("columns", min=least)
    height, width = (multiple * side for side in sides) if multiple > 1 else sides
    return {"image": {0: torch.export.Dim("batch"), 2: height, 3: width}}


def onnx_session(model: bytes) -> Any:
    """An ONNX model ready to run on the CPU, with torch's number of threads, which sleep between images."""
    require("onnxruntime", "export")
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3  # errors; it warns about its own choices
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def refuse_without_compiler() -> None:
    """UserError where there is no C++ compiler, which torch.compile would ask for in the middle of the first frame."""
    if not any(map(shutil.which, ("g++", "c++", "clang++"))):
        raise UserError("--runtime compile needs a C++ compiler (g++ or clang++); install one, or use --runtime torch")


def refuse_unknown_runtime(runtime: str, known: Sequence[str]) -> None:
    """UserError, naming those that are, where a runtime is not among the `known` ones of a kind of network."""
    if runtime not in known:
        raise UserError(f"runtime is {runtime!r}; expected one of {', '.join(map(repr, known))}")


def refuse_on_other_devices(runtime: str, device: str) -> None:
    """UserError where a runtime that computes on the CPU alone is to serve another device ("cuda")."""
    if runtime in OF_THE_CPU and device != "cpu":
        raise UserError(f"--runtime {runtime} computes on the CPU alone; use --device cpu, or --runtime torch")


def refuse_absent_runtime(runtime: str, device: str) -> None:
    """UserError where a runtime is not installed or not for a device ("cuda"): a run finds that out with all loaded."""
    refuse_on_other_devices(runtime, device)
    if runtime == "compile":
        refuse_without_compiler()
    require_for(runtime)


def require_for(runtime: str) -> None:
    """UserError, naming the extra to install, unless all that a runtime takes is there; torch's own take nothing."""
    packages, extra = NEEDED.get(runtime, ((), ""))
    for package in packages:
        require(package, extra)


def require(package: str, extra: str) -> None:
    """UserError, naming the extra to install, unless `package` is there."""
    if importlib.util.find_spec(package) is None:
        raise UserError(f"{package} is not installed; pip install 'sim2real[{extra}]'")


@contextlib.contextmanager
def converting(target: str) -> Iterator[None]:
    """Converters warn about their own insides, which is kept from people; that they fail is told in one line.

    One thread at a time: of two, the second would find the silence of the first, and leave it behind for good.
    """
    with SETTING_UP:
        level = logging.root.manager.disable
        logging.disable(logging.WARNING)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                yield
        except UserError:
            raise
        except Exception as error:  # whatever they throw: foreign code about foreign code
            reason = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
            raise UserError(
                f"the network cannot be converted to {target}: {reason.strip().rstrip('.')}. Torch computes it without "
                "(--runtime torch)"
            ) from error
        finally:
            logging.disable(level)
