"""Offline training of the query models: a context's vectors to the vector of what comes next."""
