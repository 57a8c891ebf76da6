"""What operators do and see: schema, backups, erasure, retention, metrics, traces, health."""
