-- One sorted update for all that was sent (rule C1); what is over is not there any more. What went into another memory
-- than the transport has now is looked for at once (rule L7). A mark is taken away: what is marked nobody checks (rule C9).
-- A join with the one row of `transport`, which is never analysed, counts as one with hundreds: it would read all waits.
UPDATE amends.waits AS wait
SET published_at = clock_timestamp(), entry_id = sent.entry_id, unsent = false,
    due_at = clock_timestamp() + make_interval(secs => CASE WHEN sent.stands THEN sent.due_in ELSE 1 END)
FROM (
    SELECT row.*,
        row.incarnation IS NULL OR row.incarnation = (SELECT incarnation FROM amends.transport) AS stands
    FROM unnest($1::uuid[], $2::int[], $3::text[], $4::float8[], $5::text[])
        AS row(saga_id, opened_by, entry_id, due_in, incarnation)
    ORDER BY saga_id, opened_by
) AS sent
WHERE wait.saga_id = sent.saga_id AND wait.opened_by = sent.opened_by
