-- Large values, by hash. One that is there and was put more than an hour ago is made young again; of one that is younger
-- no row is locked, so that all who bring the same value need not wait for one another. In one order, whatever the plan.
INSERT INTO amends.payloads AS kept (hash, body)
SELECT hash, body FROM unnest($1::text[], $2::bytea[]) AS given(hash, body)
WHERE NOT EXISTS (
    SELECT FROM amends.payloads AS young
    WHERE young.hash = given.hash AND young.created_at >= clock_timestamp() - interval '1 hour'
)
ORDER BY given.hash
ON CONFLICT (hash) DO UPDATE SET created_at = clock_timestamp()
WHERE kept.created_at < clock_timestamp() - interval '1 hour'
