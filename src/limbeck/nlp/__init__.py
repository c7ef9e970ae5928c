"""What modalities of texts are made of."""
