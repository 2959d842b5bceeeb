"""Frames of videos: from files that have an end, and live ones that may have none."""
