"""The demo desk: its partners, its newsroom, its stories."""
