-- Every open published wait becomes due for its check, oldest first, 500 a second (rule L7). Workers get a second to say
-- what they have done.
WITH changed AS (
    UPDATE amends.transport SET incarnation = $1 WHERE $1 <> '' AND incarnation <> $1 RETURNING one
)
UPDATE amends.waits AS wait
SET due_at = least(wait.due_at, clock_timestamp() + make_interval(secs => 1 + paced.place / 500.0 + random() / 2))
FROM (
    SELECT saga_id, opened_by, row_number() OVER (ORDER BY since, saga_id, opened_by) AS place
    FROM amends.waits
    WHERE published_at IS NOT NULL AND ($1 = '' OR EXISTS (SELECT FROM changed))
    ORDER BY saga_id, opened_by
) AS paced
WHERE wait.saga_id = paced.saga_id AND wait.opened_by = paced.opened_by
