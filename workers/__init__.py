"""The workers: what happens after a comment is accepted."""
