"""Who reads a document and finds opportunities in it: the rules agent that is built in, and what answers look like."""
