"""Standard Webhooks, both ways: signatures, bodies, addresses, a receiver, a client."""
