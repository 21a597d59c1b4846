-- Waits whose time has come, oldest first, without locks: the version guard decides (rule A6). Held sagas are left alone
-- (rule B7), and those that only a newer program can read. Of what a sender owes one receiver, whom a step names, only
-- the first is due (rule B5). No index goes by `clock_timestamp()`, which is another one for each row,
-- nor by the output that has a column's name. By one order alone the index is the plan also while the table is empty.
SELECT saga_id::text, opened_by, kind, step, item, attempt, queue, priority, extract(epoch FROM due_at)::float8 AS due_at,
    extract(epoch FROM since)::float8 AS since, extract(epoch FROM published_at)::float8 AS published_at, entry_id, unsent,
    claimed_by, extract(epoch FROM claimed_until)::float8 AS claimed_until
FROM amends.waits AS wait
WHERE due_at <= statement_timestamp() AND NOT unsent AND kind <> 'operator'
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
