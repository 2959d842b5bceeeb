"""When a process that a test waits for is taken to hang: long after any work ends, on the busiest machine."""

HANGS_S = 1800
