"""Feeds: their contents, documents and archives, and the fetches of partners."""
