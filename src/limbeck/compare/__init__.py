"""`limbeck compare`: objectives and students side by side over one store."""
