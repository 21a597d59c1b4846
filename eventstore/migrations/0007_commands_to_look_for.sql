-- What an orchestrator looks for: commands that are marked, and those that nobody confirmed, by age. Timers and signals,
-- which are never published, stand in neither. The old index goes last: appends wait for that alone.
UPDATE amends.waits SET unsent = false WHERE unsent AND published_at IS NOT NULL;
CREATE INDEX waits_unconfirmed ON amends.waits (since) WHERE published_at IS NULL AND queue IS NOT NULL AND NOT unsent;
CREATE INDEX waits_unsent ON amends.waits (since) WHERE unsent AND published_at IS NULL;
DROP INDEX amends.waits_unpublished;
