-- When the next wait is due; an operator's has no date and stands at the end of the index.
SELECT extract(epoch FROM due_at)::float8
FROM amends.waits AS wait
WHERE NOT unsent AND kind <> 'operator' AND due_at < 'infinity'
    AND NOT EXISTS (SELECT FROM amends.sagas AS saga WHERE saga.held AND saga.saga_id = wait.saga_id)
    AND NOT EXISTS (
        SELECT FROM amends.sagas AS saga WHERE saga.format > 1 AND saga.format > $1::int AND saga.saga_id = wait.saga_id)
    AND (kind <> 'notify' OR NOT EXISTS (
        SELECT FROM amends.waits AS earlier
        WHERE earlier.saga_id = wait.saga_id AND earlier.opened_by < wait.opened_by AND earlier.kind = 'notify'
            AND earlier.step IS NOT DISTINCT FROM wait.step
    ))
ORDER BY due_at
LIMIT 1
