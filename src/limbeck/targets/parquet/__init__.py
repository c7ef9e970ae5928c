"""Soft targets as parquet files, for exchange."""
