"""2 REMEMBERS: the only truth.

Authoritative for every event, head and wait; all in PostgreSQL, schema `amends`. Events are appended in one statement
and one commit (rules A1 to A11) and never change. What Redis holds can be rebuilt from here.

Invariant: head = fold(events), and waits = waits of the fold, publish and claim columns apart.
On failure: nothing of a batch is there, or all of it; a caller that lost the answer looks for its causation ids.
"""
