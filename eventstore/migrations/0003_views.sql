-- What people and other programs read: plain SQL over events, heads and waits (req. E1, E7, X7, X29, X47).

CREATE FUNCTION amends.sha1(message bytea) RETURNS bytea LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
DECLARE
    mask CONSTANT bigint := 4294967295;
    padded bytea := message || '\x80' || decode(repeat('00', (119 - length(message) % 64) % 64), 'hex')
        || int8send(length(message)::bigint * 8);
    h bigint[] := ARRAY[1732584193, 4023233417, 2562383102, 271733878, 3285377520];
    w bigint[];
    a bigint; b bigint; c bigint; d bigint; e bigint; f bigint; k bigint; t bigint; at integer;
BEGIN
    FOR block IN 0 .. length(padded) / 64 - 1 LOOP
        FOR i IN 0 .. 15 LOOP
            at := block * 64 + i * 4;
            w[i] := (get_byte(padded, at)::bigint << 24) | (get_byte(padded, at + 1) << 16)
                | (get_byte(padded, at + 2) << 8) | get_byte(padded, at + 3);
        END LOOP;
        FOR i IN 16 .. 79 LOOP
            t := w[i - 3] # w[i - 8] # w[i - 14] # w[i - 16];
            w[i] := ((t << 1) | (t >> 31)) & mask;
        END LOOP;
        a := h[1]; b := h[2]; c := h[3]; d := h[4]; e := h[5];
        FOR i IN 0 .. 79 LOOP
            IF i < 20 THEN f := (b & c) | (~b & mask & d); k := 1518500249;
            ELSIF i < 40 THEN f := b # c # d; k := 1859775393;
            ELSIF i < 60 THEN f := (b & c) | (b & d) | (c & d); k := 2400959708;
            ELSE f := b # c # d; k := 3395469782;
            END IF;
            t := ((((a << 5) | (a >> 27)) & mask) + f + e + k + w[i]) & mask;
            e := d; d := c; c := ((b << 30) | (b >> 2)) & mask; b := a; a := t;
        END LOOP;
        h := ARRAY[(h[1] + a) & mask, (h[2] + b) & mask, (h[3] + c) & mask, (h[4] + d) & mask, (h[5] + e) & mask];
    END LOOP;
    RETURN int8send(h[1] << 32 | h[2]) || int8send(h[3] << 32 | h[4]) || substr(int8send(h[5]), 5);
END $$;

-- RFC 9562: a UUID of version 5 from a namespace and a name.
CREATE FUNCTION amends.uuid5(namespace uuid, name text) RETURNS uuid LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
DECLARE
    bytes bytea := substr(amends.sha1(uuid_send(namespace) || convert_to(name, 'UTF8')), 1, 16);
BEGIN
    bytes := set_byte(bytes, 6, (get_byte(bytes, 6) & 15) | 80);
    bytes := set_byte(bytes, 8, (get_byte(bytes, 8) & 63) | 128);
    RETURN encode(bytes, 'hex')::uuid;
END $$;

-- Events under the names of the requirements. An event never changes: it is processed when it is there.
CREATE VIEW amends.events AS
SELECT position AS id, workflow_id,
    CASE WHEN event_data ->> 'step' IS NULL THEN workflow_id
        ELSE amends.uuid5(workflow_id, concat_ws('/', event_data ->> 'step', event_data ->> 'item')) END AS step_id,
    event_type, event_data, sequence_number, created_at, created_at AS processed_at, 0 AS retry_count,
    'completed'::text AS status
FROM amends.workflow_events;

-- What is pending: commands that are out, and retries that wait for their time.
CREATE VIEW amends.job_queue AS
SELECT wait.saga_id AS job_id, saga.definition, wait.step, wait.item, wait.kind, wait.queue AS queue_name, wait.priority,
    wait.attempt AS attempts,
    CASE WHEN wait.kind = 'retry' THEN 'delayed' WHEN wait.unsent OR wait.published_at IS NULL THEN 'pending'
        ELSE 'published' END AS status,
    wait.since AS created_at, nullif(wait.due_at, 'infinity') AS due_at
FROM amends.waits AS wait JOIN amends.sagas AS saga USING (saga_id)
WHERE wait.kind IN ('step', 'undo', 'probe', 'fallback', 'retry');

-- One row for each attempt of each step.
CREATE VIEW amends.job_queue_history AS
SELECT began.position AS id, began.workflow_id AS job_id, saga.definition, began.event_data ->> 'step' AS step,
    (began.event_data ->> 'item')::integer AS item,
    CASE began.event_type WHEN 'StepScheduled' THEN 'step' WHEN 'UndoScheduled' THEN 'undo'
        WHEN 'ProbeScheduled' THEN 'probe' ELSE 'fallback' END AS role,
    CASE WHEN ended.event_type IS NULL THEN 'active'
        WHEN ended.event_type IN ('StepSucceeded', 'FallbackUsed', 'StepUndone', 'ProbeAnswered') THEN 'completed'
        WHEN ended.event_type = 'StepRefused' THEN 'refused' WHEN ended.event_type = 'StepOutcomeUnknown' THEN 'unknown'
        ELSE 'failed' END AS status,
    (SELECT node ->> 'queue' FROM json_array_elements(definition.manifest -> 'nodes') AS node
        WHERE node ->> 'name' = began.event_data ->> 'step') AS queue_name,
    (began.event_data ->> 'attempt')::integer AS attempts,
    ended.event_data #>> '{error,message}' AS error_message, began.created_at, ended.created_at AS completed_at
FROM amends.workflow_events AS began
JOIN amends.sagas AS saga ON saga.saga_id = began.workflow_id
LEFT JOIN amends.saga_definitions AS definition ON definition.fingerprint = saga.fingerprint
LEFT JOIN LATERAL (
    SELECT event.event_type, event.event_data, event.created_at FROM amends.workflow_events AS event
    WHERE event.workflow_id = began.workflow_id AND event.sequence_number > began.sequence_number
        AND event.event_type IN ('StepSucceeded', 'StepFailed', 'StepRefused', 'StepOutcomeUnknown', 'FallbackUsed',
            'StepUndone', 'UndoFailed', 'ProbeAnswered')
        AND event.event_data ->> 'step' = began.event_data ->> 'step'
        AND event.event_data ->> 'item' IS NOT DISTINCT FROM began.event_data ->> 'item'
        AND event.event_data ->> 'attempt' = began.event_data ->> 'attempt'
    ORDER BY event.sequence_number LIMIT 1
) AS ended ON true
WHERE began.event_type IN ('StepScheduled', 'UndoScheduled', 'ProbeScheduled', 'FallbackScheduled');

-- What the reconciler put right.
CREATE VIEW amends.recovery_logs AS
SELECT position AS id, workflow_id AS job_id, event_data ->> 'finding' AS finding, event_data ->> 'repair' AS repair,
    event_data ->> 'step' AS step, actor, created_at
FROM amends.workflow_events WHERE event_type = 'RepairApplied';

-- A dead letter is an operator's wait, with the event that opened it.
CREATE VIEW amends.dead_letters AS
SELECT wait.saga_id AS job_id, wait.opened_by, saga.definition, saga.key, saga.status, wait.step, wait.item,
    wait.attempt AS attempts, event.event_data ->> 'cause' AS reason, event.event_data -> 'error' AS error, wait.since
FROM amends.waits AS wait
JOIN amends.sagas AS saga USING (saga_id)
JOIN amends.workflow_events AS event ON event.workflow_id = wait.saga_id AND event.sequence_number = wait.opened_by
WHERE wait.kind = 'operator';

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'amends_app') THEN
        GRANT SELECT ON amends.events, amends.job_queue, amends.job_queue_history, amends.recovery_logs,
            amends.dead_letters TO amends_app;
    END IF;
END $$;
