-- Whether there is anything to do: one statement an orchestrator's look (rules A11, C1, C9). Held sagas are left alone,
-- and those that only a newer program can read.
SELECT (
        SELECT true
        FROM amends.waits AS wait
        WHERE unsent AND published_at IS NULL
            AND (SELECT true FROM amends.sagas AS saga WHERE saga.held AND saga.saga_id = wait.saga_id) IS NULL
            AND (
                SELECT true FROM amends.sagas AS saga
                WHERE saga.format > 1 AND saga.format > $1::int AND saga.saga_id = wait.saga_id) IS NULL
        ORDER BY since
        LIMIT 1
    ) IS NOT NULL AS unsent,
    (
        SELECT extract(epoch FROM since)::float8
        FROM amends.waits AS wait
        WHERE published_at IS NULL AND queue IS NOT NULL AND NOT unsent
            AND (SELECT true FROM amends.sagas AS saga WHERE saga.held AND saga.saga_id = wait.saga_id) IS NULL
            AND (
                SELECT true FROM amends.sagas AS saga
                WHERE saga.format > 1 AND saga.format > $1::int AND saga.saga_id = wait.saga_id) IS NULL
        ORDER BY since
        LIMIT 1
    ) AS unconfirmed_since,
    (
        SELECT extract(epoch FROM due_at)::float8
        FROM amends.waits AS wait
        WHERE NOT unsent AND kind <> 'operator' AND due_at < 'infinity'
            AND (SELECT true FROM amends.sagas AS saga WHERE saga.held AND saga.saga_id = wait.saga_id) IS NULL
            AND (
                SELECT true FROM amends.sagas AS saga
                WHERE saga.format > 1 AND saga.format > $1::int AND saga.saga_id = wait.saga_id) IS NULL
            AND (kind <> 'notify' OR NOT EXISTS (
                SELECT FROM amends.waits AS earlier
                WHERE earlier.saga_id = wait.saga_id AND earlier.opened_by < wait.opened_by AND earlier.kind = 'notify'
                    AND earlier.step IS NOT DISTINCT FROM wait.step
            ))
        ORDER BY due_at
        LIMIT 1
    ) AS due_at,
    extract(epoch FROM clock_timestamp())::float8 AS now -- last: what is told of the clock is not older than the rest
