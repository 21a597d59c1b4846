-- The output is not named as the column: ORDER BY would take the text. Rule A12: the cursor is the pair, within an epoch, and below the oldest transaction that may still commit.
SELECT epoch, transaction_id::text AS xid, position, workflow_id::text, sequence_number, event_type,
    schema_version, event_data::text, extract(epoch FROM created_at)::float8 AS at
FROM amends.workflow_events
WHERE (epoch, transaction_id, position) > ($1::int, $2::text::xid8, $3::bigint)
    AND (epoch < (SELECT epoch FROM amends.cluster) OR transaction_id < pg_snapshot_xmin(pg_current_snapshot()))
ORDER BY epoch, transaction_id, position
LIMIT $4
