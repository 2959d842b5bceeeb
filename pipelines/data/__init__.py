"""Reading and writing frames: images, frame sets, manifests, videos; readers, label maps, batches, toy world."""
