-- The open waits of one saga.
SELECT saga_id::text, opened_by, kind, step, item, attempt, queue, priority, extract(epoch FROM due_at)::float8 AS due_at,
    extract(epoch FROM since)::float8 AS since, extract(epoch FROM published_at)::float8 AS published_at, entry_id, unsent,
    claimed_by, extract(epoch FROM claimed_until)::float8 AS claimed_until
FROM amends.waits
WHERE saga_id = $1
ORDER BY opened_by
