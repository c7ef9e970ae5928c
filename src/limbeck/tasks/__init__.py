"""The modalities, one file each."""
