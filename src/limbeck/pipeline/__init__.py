"""A run: one file a stage, named as the stage's folder on disk."""
