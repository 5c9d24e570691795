"""Which captions a person should look at first, and how they are scored."""
