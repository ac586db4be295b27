"""The encoder service: texts and contexts in, unit query vectors out."""
