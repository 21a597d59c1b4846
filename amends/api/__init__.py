"""The HTTP API: the same verbs for programs as the command line has for people."""
