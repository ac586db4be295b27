"""Values and arithmetic of retrieval: hits, merge, budget, timing, errors.

Imports numpy and the standard library only.
"""
