"""CARLA (Dosovitskiy et al., CoRL 2017): frames of the semantic camera, as raw tags or in the "CityScapes palette".

Tags and colours changed at 0.9.10 and at 0.9.14, and the files do not say which they are: the release must be given.
"""

from typing import Annotated, Literal

from pydantic import Field, field_validator

from pipelines.data.labels.encodings import LabelEncoding, carla
from pipelines.data.labels.label_tables import carla_table
from pipelines.data.readers.layout import PatternSettings
from pipelines.errors import UserError


class CarlaSettings(PatternSettings):
    """Settings of a CARLA set."""

    reader: Literal["carla"]
    name: str = "carla"
    version: str
    """Release that drew the frames, such as "0.9.12"."""
    encoding: Literal["raw", "palette"] = "raw"
    own_car: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share of the rows, at the bottom, that shows the car with the camera: ignored, as in Cityscapes."""
    images: str = "rgb/{name}.*"
    labels: str = "semantic/{name}.png"

    @field_validator("version")
    @classmethod
    def _is_known(cls, version: str) -> str:
        try:
            carla_table(version)
        except UserError as error:
            raise ValueError(str(error)) from error
        return version

    def label_encoding(self) -> LabelEncoding:
        """The tags or colours of the release."""
        return carla(self.version, self.encoding, str(self.own_car))
