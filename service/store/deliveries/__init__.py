"""Deliveries: routing, claims, settlements, and every change of their states."""
