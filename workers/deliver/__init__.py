"""Delivering: claim, send, settle."""
