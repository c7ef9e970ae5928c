"""The formats and precisions in which a student is deployed, one module each."""
