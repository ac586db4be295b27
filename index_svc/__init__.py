"""The shard service: one FAISS index and the passages behind it."""
