"""5 REPAIRS: compares what should be with what is, and puts it right by inputs of the engine.

Its checks come with the issue that makes the slice survive; until then `amends doctor --invariants` finds
what is wrong.
"""
