"""Offline export of T5 sentence encoders to the model folders that the encoder service loads."""
