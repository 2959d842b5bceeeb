"""Other people's files, read with care: headers before anything else, decoders in processes of their own."""
