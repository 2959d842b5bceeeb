"""One reader per data set: where its frames and labels lie, and how its labels are encoded."""
