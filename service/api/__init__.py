"""The API for programs: articles, partner events, and its description."""
