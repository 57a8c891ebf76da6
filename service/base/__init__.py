"""What everything stands on: settings, errors, processes, Redis. Knows nothing of comments."""
