"""The looks that pix2pixHD's authors publish beside a generator: clusters of styles, by class, to choose from at use.

Their encode_features.py writes {labelId: centres} by numpy.save, and their test.py gives each thing one of its class's
centres. A generator with three more channels than layouts have is of no use as it was meant without them.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from pipelines.errors import CheckpointError
from translate.layout_translator import LayoutTranslator

CLUSTERS = "clusters"
"""What the process that reads files (`unpickle.py`) calls them."""
EXPECTED = "expected pix2pixHD's features_clustered_010.npy"


def clusters_of(path: Path, networks: Mapping[str, Mapping[str, Tensor]]) -> dict[int, Tensor]:
    """Centres (K, F) by class, K at least 1, out of what was read of a file.

    Raises:
        CheckpointError: It holds something else; one line that names the file.
    """
    found = networks.get(CLUSTERS, {})
    if not found or not all(label.isdecimal() and table.ndim == 2 for label, table in found.items()):
        raise CheckpointError(f"{path}: holds no clusters of styles; {EXPECTED}")
    clusters = {int(label): table for label, table in sorted(found.items(), key=lambda one: int(one[0])) if len(table)}
    if not clusters:
        raise CheckpointError(f"{path}: holds clusters of no class; {EXPECTED}")
    return clusters


def settings_with_clusters(settings: dict[str, Any], clusters: Mapping[int, Tensor], path: Path) -> dict[str, Any]:
    """Settings of a translator that has room for the clusters.

    Raises:
        CheckpointError: It takes no styles, others, or has not got the classes.
    """
    features = settings.get("style_features", 0)
    if not features:
        raise CheckpointError(f"{path}: the generator takes no styles (channels 37 to 39); leave --clusters out")
    labels = settings["labels"]
    for label, table in clusters.items():
        if table.shape[1] != features:
            raise CheckpointError(
                f"{path}: class {label} has {table.shape[1]} numbers per cluster, the generator takes {features}; "
                f"{EXPECTED}, not features.npy"
            )
        if label >= labels:
            raise CheckpointError(f"{path}: holds clusters of class {label}; the generator knows 0 to {labels - 1}")
    return settings | {"style_clusters": max(len(table) for table in clusters.values())}


def describe_styles(method: nn.Module, clusters: Mapping[int, Tensor], path: Path | None) -> list[str]:
    """Hand the clusters to the method; return the line on the looks that it has now, none if it takes no styles."""
    if not isinstance(method, LayoutTranslator) or method.styles is None:
        return []
    if not clusters:
        return ["styles: no --clusters given; all things get the style of zeros, which is none that was trained"]
    method.styles.adopt(clusters)
    most = max(len(table) for table in clusters.values())
    return [f"styles: clusters of {len(clusters)} classes, up to {most} looks each ({path})"]
