"""What a comparison found, as values, words, tables, charts and one HTML page."""
