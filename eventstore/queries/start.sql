-- Rule A4: starts are a statement of their own; everything else joins `created`. A taken id or key is absent from it.
-- The arguments are those of append.sql, then definitions and keys.
WITH created AS (
    INSERT INTO amends.sagas (saga_id, version, status, state, fingerprint, held, closed, format, definition, key)
    SELECT wanted.saga_id, wanted.version, wanted.status, wanted.state, wanted.fingerprint, wanted.held, wanted.closed,
        wanted.format, wanted.definition, CASE WHEN wanted.frees_key THEN NULL ELSE wanted.key END
    FROM unnest($1::text::uuid[], $2::text::int[], $3::text::int[], $4::text::text[], $5::json[], $6::text::text[],
            $7::text::bool[], $8::text::bool[], $34::text::bool[], $35::text::smallint[], $36::text[], $37::text[])
        AS wanted(saga_id, expected, version, status, state, fingerprint, held, closed, frees_key, format, definition,
            key)
    WHERE wanted.expected = 0
    ORDER BY wanted.saga_id
    ON CONFLICT DO NOTHING
    RETURNING saga_id
), recorded AS (
    INSERT INTO amends.workflow_events (workflow_id, sequence_number, event_type, schema_version, event_data, created_at,
        causation_id, actor, trace_id, epoch)
    SELECT event.saga_id, event.sequence, event.type, event.schema_version, event.data, to_timestamp(event.at),
        event.causation, event.actor, event.trace, (SELECT epoch FROM amends.cluster)
    FROM unnest($9::text::uuid[], $10::text::int[], $11::text::text[], $12::text::smallint[], $13::jsonb[],
            $14::text::float8[], $15::text[], $16::text[], $17::text[])
        AS event(saga_id, sequence, type, schema_version, data, at, causation, actor, trace)
    JOIN created USING (saga_id)
), over AS (
    DELETE FROM amends.waits AS wait
    USING unnest($18::text::uuid[], $19::text::int[]) AS gone(saga_id, opened_by), created
    WHERE wait.saga_id = gone.saga_id AND wait.opened_by = gone.opened_by AND created.saga_id = gone.saga_id
), opened AS (
    INSERT INTO amends.waits (saga_id, opened_by, kind, step, item, attempt, queue, priority, due_at, since, unsent)
    SELECT wait.saga_id, wait.opened_by, wait.kind, wait.step, wait.item, wait.attempt, wait.queue, wait.priority,
        CASE WHEN wait.queue IS NULL THEN to_timestamp(wait.due_at)
            ELSE clock_timestamp() + make_interval(secs => wait.due_at - wait.since) END,
        CASE WHEN wait.queue IS NULL THEN to_timestamp(wait.since) ELSE clock_timestamp() END, wait.unsent
    FROM unnest($20::text::uuid[], $21::text::int[], $22::text::text[], $23::text[], $24::text::int[],
            $25::text::int[], $26::text[], $27::text::text[], $28::text::float8[], $29::text::float8[], $30::text::bool[])
        AS wait(saga_id, opened_by, kind, step, item, attempt, queue, priority, due_at, since, unsent)
    JOIN created USING (saga_id)
), owed AS (
    INSERT INTO amends.event_outbox (aggregate_id, event_type, event_data)
    SELECT message.saga_id, message.type, message.data
    FROM unnest($31::text::uuid[], $32::text[], $33::jsonb[]) AS message(saga_id, type, data)
    JOIN created USING (saga_id)
)
SELECT ARRAY(SELECT saga_id::text FROM created) AS moved, extract(epoch FROM clock_timestamp())::float8 AS now
