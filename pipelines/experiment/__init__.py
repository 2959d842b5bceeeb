"""What an experiment is: its settings, its arms, its places on disk, what decides an outcome, its trained networks."""
