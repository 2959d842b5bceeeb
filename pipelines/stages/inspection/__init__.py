"""What is there: run folders, whether files are as they were written, what this machine can do."""
