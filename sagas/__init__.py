"""1 DECLARES: what a saga is and what follows from what happened to it.

Pure functions and data: no I/O, no clock, no random, no await. A definition compiles to a `Manifest`; `decide` says
which events follow from an input; `evolve` folds events into the head. `ports` names what the rest
of the world has to offer.
"""
