"""Access: sessions of the operator, and keys that were replaced and work until their overlap is over."""
