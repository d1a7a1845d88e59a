"""Feeds: what stands in them, their documents and archives, and who fetched them."""
