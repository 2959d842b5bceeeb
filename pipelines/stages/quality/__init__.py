"""How good translated frames are."""
