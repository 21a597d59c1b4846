"""3 DECIDES: takes inputs, decides them in batches, appends, publishes.

Authoritative for nothing: any number of orchestrators may run, die and start again. `Engine.apply` is the one way in.

Invariant: an outcome is acknowledged only after the commit that holds what follows from it.
On failure: outcomes come again, and a guard on the version keeps each decision from being made twice.
"""
