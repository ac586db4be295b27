"""Retrains what ranks on the corpus of today, and proposes it only if it is surely better."""
