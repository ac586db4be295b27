"""Drives a running stack at a fixed arrival rate or with a fixed number of callers."""
