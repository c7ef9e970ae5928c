"""One loop for teacher and student alike."""
