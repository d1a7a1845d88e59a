"""Requests: the problems that refuse them, and the keys and tokens that say who asks."""
