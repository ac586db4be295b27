"""Programmes that measure the stack; their results go under artifacts/bench/."""
