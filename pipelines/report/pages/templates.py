"""How every page is made of its template, and written: all is escaped, a name that a template gets wrong is an error,
and the page's own policy lets no script run but ours, whose hash it names.
"""

import base64
import hashlib
from importlib import resources
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from pipelines.data.disk.files import write_atomically
from pipelines.printable import printable
from pipelines.report import charts, error_maps, figures, pictures, wording

FILTERS = {
    "score": figures.score,
    "change": figures.change,
    "percent": figures.percent,
    "amount": figures.amount,
    "duration": figures.duration,
    "photograph": pictures.photograph,
    "painting": pictures.painting,
    "small_photograph": error_maps.small_photograph,
    "small_painting": error_maps.small_painting,
    "error_painting": error_maps.error_painting,
}


def write_page(page: str, path: Path) -> None:
    """Write a page to `path`, in one piece or not at all.

    Raises:
        StorageError: The disk refuses it.
    """
    write_atomically(path, page.encode("utf-8", "replace"))


def rendered(template: str, **values: Any) -> str:
    """The page of the template of this name, with the project's words, charts and colours at hand beside `values`."""
    environment = Environment(
        loader=PackageLoader("pipelines.report.pages", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: printable(value) if type(value) is str else value,
    )
    environment.filters |= FILTERS
    environment.globals |= {"charts": charts, "colour": pictures.colour, "wording": wording}
    script = resources.files("pipelines.report.pages").joinpath("script.html").read_text("utf-8")
    return environment.get_template(template).render(
        script=Markup(script),
        script_hash=base64.b64encode(hashlib.sha256(script.encode("utf-8")).digest()).decode("ascii"),
        **values,
    )
