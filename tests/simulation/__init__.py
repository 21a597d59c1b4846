"""The simulator: it is deterministic, it holds, and it finds what is planted."""
