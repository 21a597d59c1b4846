-- A page of sagas, newest first: ids are in the order of time. It is read by the primary key, and its text is no key.
SELECT saga_id::text, version, state::text, extract(epoch FROM created_at)::float8 AS created_at,
    extract(epoch FROM updated_at)::float8 AS updated_at
FROM amends.sagas AS saga
WHERE ($1::text IS NULL OR definition = $1) AND ($2::text IS NULL OR status = $2) AND ($3::text IS NULL OR key = $3)
    AND ($4::text IS NULL OR EXISTS (
        SELECT FROM amends.waits AS wait WHERE wait.saga_id = saga.saga_id AND wait.kind = $4))
    AND ($5::uuid IS NULL OR saga_id < $5)
    AND ($7::text IS NULL OR starts_with(key, $7))
    AND ($8::boolean IS NULL
        OR (held = $8 AND NOT closed AND status NOT IN ('completed', 'compensated')))
    AND (NOT $9::boolean OR status NOT IN ('completed', 'compensated') AND NOT closed
        OR status <> 'completed' AND saga_id IN (SELECT wait.saga_id FROM amends.waits AS wait WHERE kind = 'operator'))
ORDER BY saga.saga_id DESC
LIMIT $6
