"""The simulator: whole systems of production code on virtual time, under faults that a seed draws.

One idea a file: `hosts` (processes that stop anywhere), `network` and `database` (what lies between them and the
servers), `outside` (the world in which steps have effects), `script` (faults and requests as data), `system` (puts them
together), `checks` (what must hold), `shrink` (the smallest script that still fails).
"""
