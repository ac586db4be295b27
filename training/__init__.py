"""Offline training of the models that the servers load; no server imports this package."""
