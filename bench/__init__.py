"""Measures Amends: sagas a second, and the floor of the machine beside it."""
