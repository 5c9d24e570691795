"""What the screens are made of: one idea a file."""
