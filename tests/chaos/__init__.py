"""The whole system, loaded and broken at random and at named points; then the invariants."""
