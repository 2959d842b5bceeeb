"""Label maps and overlays of folders and videos."""
