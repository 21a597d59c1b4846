-- Single events, each by its saga and sequence number.
SELECT event.workflow_id::text AS saga_id, sequence_number, event_type, schema_version, event_data::text,
    extract(epoch FROM created_at)::float8 AS at, causation_id, actor, trace_id
FROM unnest($1::uuid[], $2::int[]) AS asked(saga_id, sequence)
JOIN amends.workflow_events AS event ON event.workflow_id = asked.saga_id AND event.sequence_number = asked.sequence
