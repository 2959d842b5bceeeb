"""One stage, one file: what a command or a make target does."""
