"""The public service: pipeline, fan-out, merge, rerank, and the account of the time."""
