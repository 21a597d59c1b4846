-- Messages that their receivers have (rule B5).
DELETE FROM amends.waits AS wait
USING (SELECT * FROM unnest($1::uuid[], $2::int[]) AS row(saga_id, opened_by) ORDER BY saga_id, opened_by) AS told
WHERE wait.saga_id = told.saga_id AND wait.opened_by = told.opened_by AND wait.kind = 'notify'
