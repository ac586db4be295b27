"""A rollout: a canary's share of the callers grows step by step, each step by its figures."""
