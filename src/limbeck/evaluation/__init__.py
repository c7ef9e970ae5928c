"""Figures, and what they come to."""
