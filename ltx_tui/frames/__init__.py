"""The frames of one clip: where they stand, what is said of them, the window."""
