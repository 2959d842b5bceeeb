"""What a segmenter's features say about the gap between domains."""
