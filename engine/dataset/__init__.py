"""Lossless reading and writing of dataset files, and what their rows mean."""
