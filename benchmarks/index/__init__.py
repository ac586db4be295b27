"""Benchmarks of the shard server."""
