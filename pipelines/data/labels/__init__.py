"""How label maps are encoded, read and written; which classes are shared; instances."""
