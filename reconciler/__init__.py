"""5 REPAIRS: compares what is written with what should be, and puts right what diverged or got stuck.

Authoritative for nothing: it judges by PostgreSQL alone (rule K2); what Redis says of a command can keep it
from a repair, and from nothing else.

Invariant: each repair is an input like any other, recorded with its finding; after three an operator decides.
On failure: running it twice, or never, does not change where a healthy saga ends.
"""
