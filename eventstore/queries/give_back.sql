-- What was taken and not sent is marked again, unless somebody has taken it since (rule C9).
UPDATE amends.waits AS wait
SET unsent = true
FROM (
    SELECT * FROM unnest($1::uuid[], $2::int[], $3::float8[]) AS row(saga_id, opened_by, since)
    ORDER BY saga_id, opened_by
) AS taken
WHERE wait.saga_id = taken.saga_id AND wait.opened_by = taken.opened_by AND wait.published_at IS NULL
    AND extract(epoch FROM wait.since)::float8 = taken.since
