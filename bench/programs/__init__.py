"""Programs that the benchmark starts: clients and workers, each a process of its own."""
