"""Measures of retrieval quality, query sets and verdicts; for commands, never for a server."""
