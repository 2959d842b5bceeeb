"""What runs any method of either stage: the loop, checkpoints, run folders, devices."""
