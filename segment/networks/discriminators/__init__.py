"""The networks that judge a segmenter's predictions while it adapts."""
