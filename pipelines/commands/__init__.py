"""The commands, one file each, those of a stage in a folder: thin. They read options and call one stage."""
