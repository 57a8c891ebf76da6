"""What stands between a request and a route: who asks, how often, how many at once, the answer."""
