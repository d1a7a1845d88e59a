"""Fetch: what content systems only hinted at is asked for, and each system is compared with the record."""
