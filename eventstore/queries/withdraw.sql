-- Commands that are to be taken back (rule L5). `unsent` tells of each whether it was marked: its mark is taken away now,
-- and its age counts from now, so that nobody sends it (rule C9).
WITH named AS (
    SELECT * FROM unnest($1::uuid[], $2::int[]) AS key(saga_id, opened_by) ORDER BY saga_id, opened_by
), taken AS (
    UPDATE amends.waits AS wait
    SET unsent = false, since = clock_timestamp()
    FROM named
    WHERE wait.saga_id = named.saga_id AND wait.opened_by = named.opened_by
        AND (wait.unsent AND wait.published_at IS NULL) IS TRUE -- so that it is no reason to read all that is marked
    RETURNING wait.saga_id, wait.opened_by
)
SELECT wait.saga_id::text, wait.opened_by, kind, step, item, attempt, queue, priority,
    extract(epoch FROM due_at)::float8 AS due_at, extract(epoch FROM since)::float8 AS since,
    extract(epoch FROM published_at)::float8 AS published_at, entry_id, taken.saga_id IS NOT NULL AS unsent,
    claimed_by, extract(epoch FROM claimed_until)::float8 AS claimed_until
FROM named
JOIN amends.waits AS wait ON wait.saga_id = named.saga_id AND wait.opened_by = named.opened_by
LEFT JOIN taken ON taken.saga_id = named.saga_id AND taken.opened_by = named.opened_by
ORDER BY wait.saga_id, wait.opened_by
