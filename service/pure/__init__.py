"""What is worked out from what is handed in: no database, no Redis, no HTTP."""
