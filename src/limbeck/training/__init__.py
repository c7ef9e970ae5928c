"""One loop for teacher and student."""
