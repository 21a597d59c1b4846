"""The systems that are measured: how each is started, and what it keeps."""
