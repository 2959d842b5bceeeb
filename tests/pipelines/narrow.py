"""DDRNet-23-slim at a quarter of its width: the same layers in a twentieth of the bytes."""

from segment.networks.ddrnet import DDRNet


def narrow_ddrnet(num_classes: int = 19, auxiliary: bool = True) -> DDRNet:
    """What tests of stages and commands know as "ddrnet23_slim"."""
    return DDRNet(num_classes, planes=8, pooling_planes=32, head_planes=16, auxiliary=auxiliary)


COMMAND_LINE = (
    "from segment.networks import NETWORKS\n"
    "from tests.pipelines.narrow import narrow_ddrnet\n"
    "NETWORKS['ddrnet23_slim'] = narrow_ddrnet\n"
    "from pipelines.cli import main\n"
    "main()"
)
"""`sim2real` with that network, for an interpreter of its own (`python -c`, in the project's folder)."""
