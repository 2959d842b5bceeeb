"""Draw a picture from a toy world run: source frames, the same frames translated (by each variant), real frames.

.venv/bin/python docs/before_after.py runs/demo docs/toyworld.png
.venv/bin/python docs/before_after.py runs/toyworld docs/results/toyworld_variants.jpg     (of `sim2real variants`)
"""

import sys
from pathlib import Path

import numpy as np

from pipelines.data.disk.manifest import read_manifest
from pipelines.data.images import read_image, write_image
from pipelines.experiment.config import read_experiment, read_variants
from pipelines.experiment.variants import open_variants
from pipelines.experiment.workspace import Workspace

SHOWN = 4
CONFIG = Path("pipelines/configs/toyworld.toml")


def main() -> None:
    """Read the run's translated sets and write the sheet."""
    run, output = Path(sys.argv[1]), Path(sys.argv[2])
    workspace = Workspace(read_experiment(CONFIG), Path("data"), run)
    seed = workspace.experiment.compare.seeds[0]
    folders = [workspace.translated(seed)]
    if (run / "variants").exists():
        variants = open_variants(workspace, read_variants(CONFIG))
        begun = [name for name in variants.rows() if variants.named[name].settings.start_from is None]
        folders = list(dict.fromkeys(variants.workspace(name, seed).translated(seed) for name in begun))
    manifests = [{entry.frame: folder / entry.image for entry in read_manifest(folder / "manifest.jsonl")}
                 for folder in folders]  # fmt: skip
    names = sorted(manifests[0])
    chosen = [names[i] for i in np.linspace(0, len(names) - 1, SHOWN).astype(int)]
    game, camera = workspace.source[0], workspace.target[0]
    sources = {f"{game.name}/{frame.name}": frame.image for frame in game.frames}
    rows = [
        [read_image(sources[name]) for name in chosen],
        *([read_image(images[name]) for name in chosen] for images in manifests),
        [camera.read_image(i) for i in np.linspace(0, len(camera) - 1, SHOWN).astype(int)],
    ]
    write_image(output, np.concatenate([np.concatenate(row, axis=1) for row in rows]))


if __name__ == "__main__":
    main()
