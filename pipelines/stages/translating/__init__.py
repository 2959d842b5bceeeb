"""Frames of experiments, folders and videos, translated to disk."""
