-- Rule A3: one statement, one commit. Who lost the race is absent from `moved`, and so is everything of it.
-- A command's age counts from this commit, by the database's own clock (rule C1).
-- $1..$8 sagas; $9..$17 events; $18, $19 waits gone; $20..$30 waits new; $31..$33 outbox; $34 whose key is freed; $35 formats
WITH moved AS (
    UPDATE amends.sagas AS saga
    SET version = wanted.version, status = wanted.status, state = wanted.state, fingerprint = wanted.fingerprint,
        held = wanted.held, closed = wanted.closed, format = wanted.format,
        key = CASE WHEN wanted.frees_key THEN NULL ELSE saga.key END, updated_at = clock_timestamp()
    FROM unnest($1::text::uuid[], $2::text::int[], $3::text::int[], $4::text::text[], $5::json[], $6::text::text[],
            $7::text::bool[], $8::text::bool[], $34::text::bool[], $35::text::smallint[])
        AS wanted(saga_id, expected, version, status, state, fingerprint, held, closed, frees_key, format)
    WHERE saga.saga_id = wanted.saga_id AND saga.version = wanted.expected
    RETURNING saga.saga_id
), recorded AS (
    INSERT INTO amends.workflow_events (workflow_id, sequence_number, event_type, schema_version, event_data, created_at,
        causation_id, actor, trace_id, epoch)
    SELECT event.saga_id, event.sequence, event.type, event.schema_version, event.data, to_timestamp(event.at),
        event.causation, event.actor, event.trace, (SELECT epoch FROM amends.cluster)
    FROM unnest($9::text::uuid[], $10::text::int[], $11::text::text[], $12::text::smallint[], $13::jsonb[],
            $14::text::float8[], $15::text[], $16::text[], $17::text[])
        AS event(saga_id, sequence, type, schema_version, data, at, causation, actor, trace)
    JOIN moved USING (saga_id)
), over AS (
    DELETE FROM amends.waits AS wait
    USING unnest($18::text::uuid[], $19::text::int[]) AS gone(saga_id, opened_by), moved
    WHERE wait.saga_id = gone.saga_id AND wait.opened_by = gone.opened_by AND moved.saga_id = gone.saga_id
), opened AS (
    INSERT INTO amends.waits (saga_id, opened_by, kind, step, item, attempt, queue, priority, due_at, since, unsent)
    SELECT wait.saga_id, wait.opened_by, wait.kind, wait.step, wait.item, wait.attempt, wait.queue, wait.priority,
        CASE WHEN wait.queue IS NULL THEN to_timestamp(wait.due_at)
            ELSE clock_timestamp() + make_interval(secs => wait.due_at - wait.since) END,
        CASE WHEN wait.queue IS NULL THEN to_timestamp(wait.since) ELSE clock_timestamp() END, wait.unsent
    FROM unnest($20::text::uuid[], $21::text::int[], $22::text::text[], $23::text[], $24::text::int[],
            $25::text::int[], $26::text[], $27::text::text[], $28::text::float8[], $29::text::float8[], $30::text::bool[])
        AS wait(saga_id, opened_by, kind, step, item, attempt, queue, priority, due_at, since, unsent)
    JOIN moved USING (saga_id)
), owed AS (
    INSERT INTO amends.event_outbox (aggregate_id, event_type, event_data)
    SELECT message.saga_id, message.type, message.data
    FROM unnest($31::text::uuid[], $32::text[], $33::jsonb[]) AS message(saga_id, type, data)
    JOIN moved USING (saga_id)
)
SELECT ARRAY(SELECT saga_id::text FROM moved) AS moved, extract(epoch FROM clock_timestamp())::float8 AS now
