-- The heads of these sagas, for a whole batch of outcomes (rule A8).
SELECT saga_id::text, version, state::text FROM amends.sagas WHERE saga_id = ANY($1::uuid[])
