"""The network: sending, the address guard, what an answer means."""
