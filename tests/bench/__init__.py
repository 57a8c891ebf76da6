"""The benchmark: `make bench`, or `python -m tests.bench --help`. See README.md beside it."""
