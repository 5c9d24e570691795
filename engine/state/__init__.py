"""What is kept in a project's folder `.ltx-tui/`: its SQLite files."""
