"""What the user has set: of the program, and of the project that is open."""
