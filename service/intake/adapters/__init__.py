"""Adapters: one file per content system, from its request to an article. Pure."""
