"""Families of teachers and students, a person's own models, and their weights."""
