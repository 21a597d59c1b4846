"""Long tests: damage under load, by `make survival`; not part of the default suite."""
