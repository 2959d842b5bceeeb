"""Frames through any network, safe to kill: what to do, in which order, and the record of what was done."""
