"""The nonce search, over the native engine."""
