"""Draw the README's picture from a toy world run: source frames, the same frames translated, real frames.

.venv/bin/python docs/before_after.py runs/demo docs/toyworld.png
"""

import sys
from pathlib import Path

import numpy as np

from pipelines.config import read_experiment
from pipelines.data.images import read_image, write_image
from pipelines.data.manifest import read_manifest
from pipelines.workspace import Workspace

SHOWN = 4


def main() -> None:
    """Read the run's translated set and write the sheet."""
    run, output = Path(sys.argv[1]), Path(sys.argv[2])
    workspace = Workspace(read_experiment(Path("pipelines/configs/toyworld.toml")), Path("data"), run)
    seed = workspace.experiment.compare.seeds[0]
    folder = workspace.translated(seed)
    entries = read_manifest(folder / "manifest.jsonl")
    chosen = [entries[i] for i in np.linspace(0, len(entries) - 1, SHOWN).astype(int)]
    game, camera = workspace.source[0], workspace.target[0]
    names = {f"{game.name}/{frame.name}": i for i, frame in enumerate(game.frames)}
    rows = [
        [game.read_image(names[entry.frame]) for entry in chosen],
        [read_image(folder / entry.image) for entry in chosen],
        [camera.read_image(i) for i in np.linspace(0, len(camera) - 1, SHOWN).astype(int)],
    ]
    write_image(output, np.concatenate([np.concatenate(row, axis=1) for row in rows]))


if __name__ == "__main__":
    main()
