-- A page of sagas, newest first: ids are in the order of time. It is read by the primary key, and its text is no key.
-- The conditions are those that are asked for (eventstore/listing.py): each set of them has a plan of its own.
SELECT saga_id::text, version, state::text, extract(epoch FROM created_at)::float8 AS created_at,
    extract(epoch FROM updated_at)::float8 AS updated_at
FROM amends.sagas AS saga
WHERE CONDITIONS
ORDER BY saga.saga_id DESC
LIMIT $1
