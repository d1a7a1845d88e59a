"""Views: the one read side, for pages, API, commands and metrics."""
