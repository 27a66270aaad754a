"""Scores of pictures against scenes; reads pictures and scenes only, never runs a generator."""
