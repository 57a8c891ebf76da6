"""Webhooks: sites are told of what happened, and can rely on it.

`outbox` keeps events with what they tell of, `endpoints` are where they go, `deliveries` is what
becomes of each. The one rule: whoever sends (`workers.delivery`) is told here what is due, and
tells here what became of it; there is no HTTP client in this package.
"""
