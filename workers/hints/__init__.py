"""Hints: the broker as a worker knows it, and the consumer that takes them."""
