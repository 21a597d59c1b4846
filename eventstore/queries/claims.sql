-- What is known of commands whose entries are not fresh (rule C3).
SELECT wait.saga_id::text, wait.opened_by, wait.attempt, saga.held, wait.claimed_by
FROM unnest($1::uuid[], $2::int[]) AS asked(saga_id, opened_by)
JOIN amends.waits AS wait USING (saga_id, opened_by)
JOIN amends.sagas AS saga USING (saga_id)
