-- The events of one saga, in order.
SELECT sequence_number, event_type, schema_version, event_data::text, extract(epoch FROM created_at)::float8 AS at, causation_id, actor,
    trace_id
FROM amends.workflow_events
WHERE workflow_id = $1 AND sequence_number > $2
ORDER BY sequence_number
LIMIT $3
