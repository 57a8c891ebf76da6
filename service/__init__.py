"""The service: a flat core of nouns, and one folder for each kind of caller."""
