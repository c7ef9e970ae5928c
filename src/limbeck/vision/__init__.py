"""What modalities that look at pictures are made of."""
