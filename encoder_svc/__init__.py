"""The encoder service: texts and contexts to unit vectors."""
