"""What the processor at hand can do, looked up once; `launch.py` decides by it what the defaults compute in.

bf16 halves the time of a product on some processors that have instructions for it, gains nothing on others, and takes
many times as long where there are none: torch then computes it in a reference implementation. Most desktops and laptops
have none.
"""

import functools
import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

CPUINFO = Path("/proc/cpuinfo")
KNOWN = {"avx2": "avx2", "avx512f": "avx512", "avx512_bf16": "avx512_bf16", "amx_bf16": "amx_bf16", "bf16": "bf16"}
"""Flags of x86-64 and (the last) of ARM, as Linux names them -> as we do. Elsewhere none is known, so none counts."""
OF_512_BITS = ("avx512", "avx512_bf16", "amx_bf16")


@dataclass(frozen=True)
class Capabilities:
    """Instruction sets that torch may use here, in the order of KNOWN."""

    instructions: tuple[str, ...]
    vendor: str = ""
    """As Linux names who made an x86-64 processor: AuthenticAMD, GenuineIntel."""

    @property
    def bf16(self) -> bool:
        """Whether products of bf16 have instructions."""
        return any("bf16" in name for name in self.instructions)

    @property
    def bf16_pays(self) -> bool:
        """Whether bf16 is faster than float32, where that was measured (`docs/results/speed.md`).

        AMD's AVX-512 multiplies twice as many numbers of bf16 a cycle as of float32; Intel's as many, and what is
        converted for it costs time. Where there is a matrix unit it does eight times as many.
        """
        return "amx_bf16" in self.instructions or ("avx512_bf16" in self.instructions and self.vendor == "AuthenticAMD")

    def __str__(self) -> str:
        named = ", ".join(self.instructions) or "no instruction set that we know"
        return named if self.bf16 else f"{named}, no bf16"


@functools.cache
def capabilities() -> Capabilities:
    """What this machine's processor can do; looked up once."""
    return read_capabilities(CPUINFO.read_text() if CPUINFO.exists() else "", os.environ)


def read_capabilities(cpuinfo: str, environment: Mapping[str, str]) -> Capabilities:
    """By the system's description of the processor, less what the variables of torch's libraries forbid.

    Args:
        cpuinfo: The text of /proc/cpuinfo.
        environment: ONEDNN_MAX_CPU_ISA (of the convolutions) and ATEN_CPU_CAPABILITY (of torch's own code) count.
    """
    described: dict[str, str] = {}
    for line in cpuinfo.splitlines():
        name, _, value = line.partition(":")
        described.setdefault(name.strip(), value.strip())  # of the first processor: all are of one kind
    flags = (described.get("flags") or described.get("Features") or "").split()
    forbidden = {name for names in (_beyond_onednn(environment), _beyond_aten(environment)) for name in names}
    usable = tuple(name for flag, name in KNOWN.items() if flag in flags and name not in forbidden)
    return Capabilities(usable, described.get("vendor_id", ""))


def _beyond_onednn(environment: Mapping[str, str]) -> Collection[str]:
    """What oneDNN may not use; a value that it does not know changes nothing."""
    most = environment.get("ONEDNN_MAX_CPU_ISA", environment.get("DNNL_MAX_CPU_ISA", "")).upper()
    if most in ("SSE41", "AVX"):
        return "avx2", *OF_512_BITS
    if most.startswith("AVX2"):
        return OF_512_BITS
    if most in ("AVX512_CORE", "AVX512_CORE_VNNI"):
        return OF_512_BITS[1:]
    return OF_512_BITS[2:] if most in ("AVX512_CORE_BF16", "AVX512_CORE_FP16", "AVX10_1_512") else ()


def _beyond_aten(environment: Mapping[str, str]) -> Collection[str]:
    most = environment.get("ATEN_CPU_CAPABILITY", "").lower()
    return {"default": ("avx2", *OF_512_BITS), "avx2": OF_512_BITS}.get(most, ())
