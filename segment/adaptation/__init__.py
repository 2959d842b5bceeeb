"""What adaptation is made of: adversaries, certainty, mixing, pseudo-labels, longer features; and guards over it."""
