"""Training of the embedded default encoder: a small T5 encoder that maps texts to 768 numbers."""
