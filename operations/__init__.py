"""What operators do with a release and a stack: preflight, diagnosis, weekly maintenance."""
