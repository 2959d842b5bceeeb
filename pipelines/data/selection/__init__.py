"""Which frames are used: those of a list, a drive or a subset, with scores, with a teacher's, and none that is bad."""
