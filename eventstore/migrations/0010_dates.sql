-- What has a date of its own and is no command: behind a backlog of outcomes the checks of commands, all past their time,
-- are not to be walked through for it.
CREATE INDEX waits_dated ON amends.waits (due_at) WHERE NOT unsent AND kind <> 'operator' AND queue IS NULL;
