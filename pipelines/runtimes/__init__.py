"""How a trained network runs fast on the machine at hand, and from a frame to a label map or an image."""

from pipelines.runtimes.live import LiveSegmenter, LiveTranslator, open_segmenter, open_translator

__all__ = ["LiveSegmenter", "LiveTranslator", "open_segmenter", "open_translator"]
