"""4 DOES: carries commands and outcomes over Redis Streams and runs the handlers.

Authoritative for nothing: streams may be flushed at any moment. `stream` is the only module that knows Redis commands.

Invariant: no two executions share an attempt; a takeover never runs a handler (rule L2).
On failure: a lost worker becomes the outcome `unknown(worker_lost)`, and the engine schedules the next attempt.
"""
