"""Pure parts of the benchmark."""
