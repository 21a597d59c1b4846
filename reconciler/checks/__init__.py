"""One file for each kind of divergence."""
