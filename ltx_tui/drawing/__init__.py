"""What line-drawn widgets draw with: signs, colours, dots and blocks."""
