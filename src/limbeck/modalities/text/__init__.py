"""Text classification, one label or several."""
