"""Which device a process takes, the precision that it computes in, and the signals that ask it to stop."""

import signal

import pytest
import torch

from pipelines.engine import launch
from pipelines.engine.capabilities import Capabilities, capabilities
from pipelines.engine.launch import (
    SLOWER_IN_BF16,
    BrokenOff,
    Machine,
    StopRequest,
    choose_machine,
    make_deterministic,
    own_device,
    prepare_compiler,
    shared_device,
)
from pipelines.engine.processes import ALONE, Processes
from pipelines.errors import UserError


def test_each_process_takes_the_gpu_of_its_number(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert [own_device("cuda", rank) for rank in range(2)] == ["cuda:0", "cuda:1"] and own_device("cpu", 7) == "cpu"
    with pytest.raises(UserError, match=r"more processes than GPUs on this machine: 2; .* --nproc-per-node 2"):
        own_device("cuda", 2)
    for device in ("cuda:1", "mps"):
        with pytest.raises(UserError, match=f"--device {device} is one device, and there are several processes"):
            own_device(device, 0)


@pytest.mark.parametrize(
    ("device", "local", "gpus", "expected"),
    [
        ("auto", None, 2, "auto"),
        ("auto", "3", 2, "cuda:1"),
        ("auto", "3", 0, "auto"),
        ("cpu", "3", 2, "cpu"),
    ],
)
def test_processes_that_work_without_each_other_may_share_a_gpu(monkeypatch, device, local, gpus, expected):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    if local is not None:
        monkeypatch.setenv("LOCAL_RANK", local)
    assert shared_device(device) == expected


@pytest.fixture
def on(monkeypatch):
    """A function that has the processor know these instructions."""
    return lambda *names, by="": monkeypatch.setattr(launch, "capabilities", lambda: Capabilities(names, by))


@pytest.mark.parametrize(
    ("instructions", "vendor", "training"),
    [
        (["avx2"], "AuthenticAMD", "fp32"),
        (["avx2", "avx512_bf16"], "AuthenticAMD", "bf16"),
        (["avx2", "avx512_bf16"], "GenuineIntel", "fp32"),
        (["avx2", "avx512_bf16", "amx_bf16"], "GenuineIntel", "bf16"),
    ],
)
def test_precision_left_to_us_is_exact_in_inference_and_the_fastest_in_training(on, instructions, vendor, training):
    on(*instructions, by=vendor)
    machine = choose_machine("cpu")
    assert machine.precision == "fp32" and machine.warning is None
    assert machine.for_training().precision == training
    assert machine.for_training(begun="bf16").precision == "bf16"
    assert machine.for_training(begun="fp32").precision == "fp32"


def test_precision_asked_for_by_name_is_kept_and_warned_of_where_it_is_slow(on):
    on("avx2")
    asked = choose_machine("cpu", "bf16")
    assert asked.for_training(begun="fp32").precision == asked.precision == "bf16"
    assert asked.warning == (
        "--precision bf16 is slow here: this processor (avx2, no bf16) has no instructions for it; training took "
        f"{SLOWER_IN_BF16} times as long as in fp32 where it was measured"
    )
    on("avx2", "avx512_bf16", by="GenuineIntel")
    assert not asked.bf16_pays and asked.fast_is_bf16
    assert asked.warning == (
        "--precision bf16 gains nothing here: this processor (avx2, avx512_bf16) multiplies no faster in it than in "
        "fp32, which --precision auto chooses"
    )
    on("avx2", "avx512_bf16", by="AuthenticAMD")
    assert asked.bf16_pays and asked.fast_is_bf16 and asked.warning is None


@pytest.fixture
def tf32_again():
    """Torch's default, before and afterwards."""
    torch.backends.cudnn.allow_tf32 = True
    yield
    torch.backends.cudnn.allow_tf32 = True


@pytest.mark.parametrize(("has", "precision"), [(True, "bf16"), (False, "fp32")])
def test_a_gpu_computes_in_bf16_if_it_has_it(monkeypatch, tf32_again, has, precision):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: has)
    monkeypatch.setattr(torch, "empty", lambda *size, device: None)
    machine = choose_machine("cuda")
    assert machine == Machine(torch.device("cuda"), precision, learning=precision)
    assert machine.for_training().precision == precision


@pytest.mark.parametrize(("precision", "tf32"), [("fp32", False), ("bf16", True)])
def test_fp32_on_a_gpu_is_fp32_in_convolutions_too(monkeypatch, tf32_again, precision, tf32):
    monkeypatch.setattr(torch, "empty", lambda *size, device: None)
    choose_machine("cuda", precision)
    assert torch.backends.cudnn.allow_tf32 is tf32


def test_the_gpu_of_a_number_is_the_one_that_is_meant_without_one(monkeypatch):
    chosen = []
    monkeypatch.setattr(torch, "empty", lambda *size, device: None)
    monkeypatch.setattr(torch.cuda, "set_device", chosen.append)
    choose_machine("cuda:1", "bf16")
    choose_machine("cuda", "bf16")
    assert chosen == [torch.device("cuda:1")]


def test_the_machine_knows_its_processes():
    assert choose_machine("cpu").processes is ALONE
    assert choose_machine("cpu", processes=Processes(1, 2)).processes.world_size == 2
    with pytest.raises(UserError, match="is one device, and there are several processes"):
        choose_machine("mps", processes=Processes(1, 2))


@pytest.fixture
def torchs_own():
    """What torch was told to do is told again afterwards."""
    yield
    make_deterministic()


def test_the_same_bits_are_demanded_of_a_gpu_only_where_asked_for(monkeypatch, torchs_own):
    """Once in a process and not for ever: who asks for less afterwards gets it. On a CPU nothing is ever left open."""

    def told():
        flags = (torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled())
        return (*flags, torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark)

    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    found = []
    for gpu in (True, False):
        monkeypatch.setattr(torch.cuda, "is_available", lambda gpu=gpu: gpu)
        for strictly in (False, True, False):
            make_deterministic(strictly)
            found.append(told())
    warns, raises = (True, True, False, False), (True, False, True, False)
    assert found == [warns, raises, warns, (True, False, False, False), raises, (True, False, False, False)]
    assert launch.os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8", "without it cuBLAS gives no such promise"


def test_a_machine_is_as_strict_as_it_was_asked_to_be():
    for precision in ("auto", "fp32"):
        assert choose_machine("cpu", precision, deterministic=True).deterministic
        assert not choose_machine("cpu", precision).deterministic


def test_a_second_signal_leaves_alone_what_follows_from_the_first():
    """A batch system sends SIGUSR1, then SIGTERM: while the first breaks a wait off, workers are being ended."""
    ended = []
    with StopRequest().listening() as stop:
        with pytest.raises(BrokenOff), stop.breaking_off():
            try:
                signal.raise_signal(signal.SIGUSR1)
            finally:
                signal.raise_signal(signal.SIGTERM)
                ended.append("workers")
        assert ended == ["workers"] and stop.signal_name == "SIGTERM"


def test_what_is_compiled_for_one_processor_is_not_found_by_another(monkeypatch):
    """The tag is part of what the compiler's cache asks for; one that the user gave stays."""
    monkeypatch.setattr(torch.compiler.config, "cache_key_tag", "ours")
    prepare_compiler()
    prepare_compiler()
    assert torch.compiler.config.cache_key_tag == f"ours sim2real on {capabilities()}"
