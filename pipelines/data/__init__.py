"""Reading and writing frames: images, label encodings, one reader per data set, batches, toy world."""
