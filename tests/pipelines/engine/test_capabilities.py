"""What a processor can do is what the system says, less what the environment forbids."""

import pytest

from pipelines.engine.capabilities import Capabilities, capabilities, read_capabilities

ALL = "avx2", "avx512", "avx512_bf16", "amx_bf16"
SAPPHIRE_RAPIDS = (
    "processor\t: 0\nvendor_id\t: GenuineIntel\nflags\t\t: fpu avx2 avx512f avx512_bf16 amx_tile amx_bf16\n"
)
GENOA = SAPPHIRE_RAPIDS.replace("GenuineIntel", "AuthenticAMD").replace("amx_tile amx_bf16", "avx512_vnni")
ROME = "processor\t: 0\nvendor_id\t: AuthenticAMD\nflags\t\t: fpu avx avx2\nprocessor\t: 1\nflags\t\t: fpu avx avx2\n"


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, ALL),
        ({"ONEDNN_MAX_CPU_ISA": "ALL"}, ALL),
        ({"ONEDNN_MAX_CPU_ISA": "nonsense"}, ALL),
        ({"ONEDNN_MAX_CPU_ISA": "avx512_core_bf16"}, ALL[:3]),
        ({"ONEDNN_MAX_CPU_ISA": "AVX512_CORE_VNNI"}, ALL[:2]),
        ({"ONEDNN_MAX_CPU_ISA": "AVX2_VNNI"}, ALL[:1]),
        ({"DNNL_MAX_CPU_ISA": "AVX2"}, ALL[:1]),
        ({"ONEDNN_MAX_CPU_ISA": "SSE41"}, ()),
        ({"ATEN_CPU_CAPABILITY": "avx2"}, ALL[:1]),
        ({"ATEN_CPU_CAPABILITY": "avx512"}, ALL),
        ({"ATEN_CPU_CAPABILITY": "default"}, ()),
        ({"ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2"}, ALL[:1]),
    ],
)
def test_the_environment_forbids_instructions(environment, expected):
    assert read_capabilities(SAPPHIRE_RAPIDS, environment).instructions == expected


def test_most_desktops_have_no_bf16():
    found = read_capabilities(ROME, {})
    assert found.instructions == ("avx2",) and not found.bf16 and not found.bf16_pays
    assert str(found) == "avx2, no bf16"


def test_bf16_pays_only_where_it_was_measured_to():
    """On Intel's with its matrix unit, and not where a virtual machine hides that."""
    arm = read_capabilities("processor\t: 0\nFeatures\t: fp asimd bf16 sve\n", {})
    assert arm.bf16 and not arm.bf16_pays
    assert read_capabilities(SAPPHIRE_RAPIDS, {}).bf16_pays
    without = read_capabilities(SAPPHIRE_RAPIDS, {"ONEDNN_MAX_CPU_ISA": "AVX512_CORE_BF16"})
    assert without.bf16 and not without.bf16_pays
    assert read_capabilities(GENOA, {}).bf16_pays
    assert not read_capabilities(GENOA, {"ONEDNN_MAX_CPU_ISA": "AVX512_CORE"}).bf16_pays


def test_a_system_that_says_nothing_has_nothing():
    assert read_capabilities("", {}).instructions == ()
    assert str(Capabilities(())) == "no instruction set that we know, no bf16"


def test_this_machine_is_looked_up_once():
    assert capabilities() is capabilities()
