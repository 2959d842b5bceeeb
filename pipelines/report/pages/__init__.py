"""The HTML pages, each one file: their templates and what fills them."""
