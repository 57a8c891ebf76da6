"""The service: a core of nouns, what it stands on, and one folder for each kind of caller."""
