"""The network: sending, the address guard, the meaning of an answer."""
