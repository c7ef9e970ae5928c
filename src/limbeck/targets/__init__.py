"""What the teacher said: asked, kept, read."""
