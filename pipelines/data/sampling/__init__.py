"""Training batches by step number: which frames, which crops, which colours."""
