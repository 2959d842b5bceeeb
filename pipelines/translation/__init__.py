"""Batch translation in its parts: what to translate, by which network, in which order, and the record of it."""
