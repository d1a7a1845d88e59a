"""Coordination of the processes: leases, heartbeats, and what work is due."""
