"""Label files for tests, and the tables as other code than ours reads them."""

import json
from pathlib import Path

import numpy as np
from PIL import Image

from pipelines import data
from pipelines.data.images import write_image

TABLES = json.loads((Path(data.__file__).parent / "label_maps.json").read_text())


def table_of(name):
    """Stored id -> (train id, colour), written out from the file by other code than ours."""
    return {int(i): (e["train_id"], tuple(e.get("rgb", ()))) for i, e in TABLES[name]["ids"].items() if int(i) >= 0}


def save(folder, array, bits16=False):
    path = folder / "label.png"
    write_image(path, np.asarray(array, np.uint16 if bits16 else np.uint8))
    return path


def indexed(path, ids, palette):
    """A palette PNG of indices."""
    image = Image.fromarray(np.asarray(ids, np.uint8), mode="P")
    image.putpalette([level for colour in palette for level in colour])
    image.save(path)
    return path
