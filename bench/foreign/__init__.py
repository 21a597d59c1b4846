"""Programs of other systems. Their own interpreters run them: nothing of them is imported here, or checked by types."""
