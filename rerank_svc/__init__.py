"""The rerank service: features made of vectors, and a small MLP."""
