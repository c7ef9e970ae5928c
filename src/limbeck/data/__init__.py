"""Examples of any kind."""
