"""The commands, one file per group: thin. They read options and call one stage."""
