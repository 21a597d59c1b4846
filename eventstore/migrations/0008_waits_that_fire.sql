-- What may be due: a marked command has no date before it is sent (rule C9), and an operator comes when they come. A
-- backlog of marked commands, all past their date, is not to be walked through by each look. The old index goes last:
-- appends wait for that alone.
CREATE INDEX waits_firing ON amends.waits (due_at) WHERE NOT unsent AND kind <> 'operator';
DROP INDEX amends.waits_due;
ALTER INDEX amends.waits_firing RENAME TO waits_due;
