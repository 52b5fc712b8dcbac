"""What operators see: health, metrics, logs and error reports, all without personal data."""
