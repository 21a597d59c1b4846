-- Rule C9: who takes the mark away sends the command, and its age counts from now. What a head says is looked up for each
-- wait, in scalars: a join would read all heads before the first wait, however few are wanted.
UPDATE amends.waits
SET unsent = false, since = clock_timestamp(), due_at = clock_timestamp() + (due_at - since)
WHERE (saga_id, opened_by) IN (
    SELECT saga_id, opened_by FROM amends.waits AS wait
    WHERE unsent AND published_at IS NULL AND (queue, priority) NOT IN (SELECT * FROM unnest($2::text[], $3::text[]))
        AND (SELECT true FROM amends.sagas AS saga WHERE saga.held AND saga.saga_id = wait.saga_id) IS NULL
        AND (
            SELECT true FROM amends.sagas AS saga WHERE saga.format > 1 AND saga.format > $4::int AND saga.saga_id = wait.saga_id) IS NULL
        AND (
            SELECT true FROM amends.sagas AS saga WHERE saga.fingerprint = ANY($5::text[]) AND saga.saga_id = wait.saga_id) IS NULL
    ORDER BY since
    LIMIT $1
    FOR UPDATE SKIP LOCKED
)
RETURNING saga_id::text, opened_by, kind, step, item, attempt, queue, priority, extract(epoch FROM due_at)::float8 AS due_at,
    extract(epoch FROM since)::float8 AS since, extract(epoch FROM published_at)::float8 AS published_at, entry_id, unsent,
    claimed_by, extract(epoch FROM claimed_until)::float8 AS claimed_until
