-- Commands that are known not to have been sent (rule C9).
UPDATE amends.waits AS wait
SET unsent = true
FROM (SELECT * FROM unnest($1::uuid[], $2::int[]) AS key(saga_id, opened_by) ORDER BY saga_id, opened_by) AS named
WHERE wait.saga_id = named.saga_id AND wait.opened_by = named.opened_by AND wait.published_at IS NULL
