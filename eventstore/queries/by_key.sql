-- The sagas that hold these keys: a start with a key that is taken is one of them.
SELECT definition, key, version, state::text
FROM unnest($1::text[], $2::text[]) AS asked(definition, key) JOIN amends.sagas USING (definition, key)
