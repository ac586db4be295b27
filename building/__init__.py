"""Offline: from a corpus to a release. No server imports it."""
