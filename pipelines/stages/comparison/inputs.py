"""What each stage depends on, as files for make: rewritten only when settings or the content of frames change.

make compares times; these files turn content into times, so that `touch` rebuilds nothing and a changed byte does.
"""

import json
from typing import Any

from pipelines.data.disk.files import write_atomically
from pipelines.experiment.identity import report_inputs, segmenter_inputs, translation_inputs
from pipelines.experiment.workspace import Workspace


def write_inputs(workspace: Workspace, seed: int) -> None:
    """Write `RUN/inputs/{translator,translation,segmenter,report}.json`."""
    translation = translation_inputs(workspace, seed)
    settings = translation.pop("translation")
    stages: dict[str, Any] = {
        "translator": translation["translator"],
        "translation": {"settings": settings, **translation},
        "segmenter": segmenter_inputs(workspace, seed, "translated"),
        "report": report_inputs(workspace),
    }
    for name, inputs in stages.items():
        path = workspace.run / "inputs" / f"{name}.json"
        text = json.dumps(inputs, indent=1, sort_keys=True) + "\n"
        if not path.exists() or path.read_text() != text:
            write_atomically(path, text.encode())
