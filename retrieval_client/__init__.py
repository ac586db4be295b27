"""The client package for the teams that call the gateway."""
