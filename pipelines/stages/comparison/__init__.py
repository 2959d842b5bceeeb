"""Several arms, networks or variants side by side under one budget."""
