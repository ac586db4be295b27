"""What the four servers share: settings, start and drain, admission, status mapping, telemetry.

Importing any module of it does nothing; only `__main__` modules read the environment.
"""
