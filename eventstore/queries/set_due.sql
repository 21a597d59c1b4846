-- set_due
-- A release has moved what its saga waits for (rule B7). A sent command has no date in the fold (rule A10): if its check
-- has passed during the hold it is made now, which is early for none and late for what was lost meanwhile.
UPDATE amends.waits AS wait
SET due_at = coalesce(to_timestamp(moved.due_at), greatest(wait.due_at, clock_timestamp()))
FROM (
    SELECT * FROM unnest($1::uuid[], $2::int[], $3::float8[]) AS row(saga_id, opened_by, due_at)
    ORDER BY saga_id, opened_by
) AS moved
WHERE wait.saga_id = moved.saga_id AND wait.opened_by = moved.opened_by
    AND (moved.due_at IS NOT NULL OR wait.published_at IS NOT NULL)
