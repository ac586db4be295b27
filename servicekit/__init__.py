"""What the four servers share: settings, lifecycle, admission, status, channels, telemetry."""
