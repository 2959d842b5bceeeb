"""What lies on disk: whole files, hashes, the record of a translated set, and whose an output is."""
