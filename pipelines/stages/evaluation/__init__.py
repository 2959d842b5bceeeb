"""Scores of a segmenter or of predictions on disk, by the field's protocol."""
