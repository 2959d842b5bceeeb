"""A translator of layouts and a cache without weights, as for the use of translators."""

from tests.pipelines.stages.translating.conftest import no_cache, trained

__all__ = ["no_cache", "trained"]
