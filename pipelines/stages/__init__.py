"""What a command or a make target does; a folder per verb."""
