"""Feeds over HTTP: documents from memory, pages to read, partners' own feeds, and the export to files."""
