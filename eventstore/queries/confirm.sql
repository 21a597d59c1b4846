-- One sorted update for all that was sent (rule C1); what is over is not there any more.
UPDATE amends.waits AS wait
SET published_at = clock_timestamp(), entry_id = sent.entry_id,
    due_at = clock_timestamp() + make_interval(secs => sent.due_in)
FROM (
    SELECT * FROM unnest($1::uuid[], $2::int[], $3::text[], $4::float8[]) AS row(saga_id, opened_by, entry_id, due_in)
    ORDER BY saga_id, opened_by
) AS sent
WHERE wait.saga_id = sent.saga_id AND wait.opened_by = sent.opened_by
