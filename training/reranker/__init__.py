"""Trains the reranker on candidates of a real search: `python -m training.reranker`."""
