"""The databases: connections, transactions, hand-written SQL, locks, the keyring."""
