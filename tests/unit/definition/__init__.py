"""The definition API."""
