"""Memory: what is there, what an encode will take, and what to do when it is short."""
