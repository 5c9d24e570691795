"""Child processes that do what takes a while, with a module for each."""
