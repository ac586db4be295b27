"""Starts and stops a whole stack as plain processes on one machine."""
