"""The terminal that we run in: set up, left clean, and what it can do."""
