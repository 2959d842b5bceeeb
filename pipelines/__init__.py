"""All that touches disk, devices, processes and people: frames, the engine, the stages, the commands, the report."""
