"""Processes: what runs where, who watches it, the queue, files and ports."""
