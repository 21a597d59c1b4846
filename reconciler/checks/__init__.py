"""One file for each kind of divergence; each finds it in one query."""
