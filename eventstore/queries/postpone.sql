-- The check of sent commands is moved (rule L5).
UPDATE amends.waits AS wait
SET due_at = clock_timestamp() + make_interval(secs => later.seconds)
FROM (
    SELECT * FROM unnest($1::uuid[], $2::int[], $3::float8[]) AS row(saga_id, opened_by, seconds)
    ORDER BY saga_id, opened_by
) AS later
WHERE wait.saga_id = later.saga_id AND wait.opened_by = later.opened_by
