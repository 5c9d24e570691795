"""The async engine of ltx-tui: no terminal, no printing."""
