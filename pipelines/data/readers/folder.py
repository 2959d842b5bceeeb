"""A folder of one's own images, without labels: what a translator or an unsupervised target needs."""

from typing import Literal

from pydantic import field_validator

from pipelines.data.readers.layout import ANY_IMAGE, PatternSettings


class FolderSettings(PatternSettings):
    """Settings of a plain folder: every image in it and below."""

    reader: Literal["folder"]
    name: str = "folder"
    images: str = ANY_IMAGE

    @field_validator("labels")
    @classmethod
    def _none(cls, labels: str) -> str:
        if labels:
            raise ValueError("a plain folder has no labels: their encoding is unknown. Use the data set's own reader")
        return labels
