-- When the next wait is due; an operator's has no date and stands at the end of the index.
SELECT extract(epoch FROM due_at)::float8
FROM amends.waits
WHERE NOT unsent AND kind NOT IN ('notify', 'operator') AND due_at < 'infinity'
ORDER BY due_at
LIMIT 1
