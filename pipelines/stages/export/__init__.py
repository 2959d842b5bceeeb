"""Trained networks for other runtimes, and how fast each runtime is here."""
