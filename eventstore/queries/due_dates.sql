-- As due.sql, but for the checks of commands: while these have to wait, they must not hide what has a date of its own.
SELECT saga_id::text, opened_by, kind, step, item, attempt, queue, priority, extract(epoch FROM due_at)::float8 AS due_at,
    extract(epoch FROM since)::float8 AS since, extract(epoch FROM published_at)::float8 AS published_at, entry_id, unsent,
    claimed_by, extract(epoch FROM claimed_until)::float8 AS claimed_until
FROM amends.waits AS wait
WHERE due_at <= statement_timestamp() AND NOT unsent AND kind <> 'operator' AND queue IS NULL
    AND (SELECT true FROM amends.sagas AS saga WHERE saga.held AND saga.saga_id = wait.saga_id) IS NULL
    AND (
        SELECT true FROM amends.sagas AS saga WHERE saga.format > 1 AND saga.format > $2::int AND saga.saga_id = wait.saga_id) IS NULL
    AND (kind <> 'notify' OR NOT EXISTS (
        SELECT FROM amends.waits AS earlier
        WHERE earlier.saga_id = wait.saga_id AND earlier.opened_by < wait.opened_by AND earlier.kind = 'notify'
            AND earlier.step IS NOT DISTINCT FROM wait.step
    ))
ORDER BY wait.due_at
LIMIT $1
