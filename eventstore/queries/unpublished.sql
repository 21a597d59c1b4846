-- Commands that nobody confirmed in time (rule C1).
SELECT saga_id::text, opened_by, kind, step, item, attempt, queue, priority, extract(epoch FROM due_at)::float8 AS due_at,
    extract(epoch FROM since)::float8 AS since, extract(epoch FROM published_at)::float8 AS published_at, entry_id, unsent,
    claimed_by, extract(epoch FROM claimed_until)::float8 AS claimed_until
FROM amends.waits AS wait
WHERE published_at IS NULL AND queue IS NOT NULL AND NOT unsent
    AND since <= statement_timestamp() - make_interval(secs => $1)
    AND (SELECT true FROM amends.sagas AS saga WHERE saga.held AND saga.saga_id = wait.saga_id) IS NULL
    AND (
        SELECT true FROM amends.sagas AS saga WHERE saga.format > 1 AND saga.format > $3::int AND saga.saga_id = wait.saga_id) IS NULL
ORDER BY wait.since
LIMIT $2
