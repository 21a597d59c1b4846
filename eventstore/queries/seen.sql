-- Which inputs are in their saga's history already (rules A7, O4): by the saga's own events, no index of its own.
SELECT DISTINCT event.workflow_id::text, event.causation_id
FROM unnest($1::uuid[], $2::text[]) AS asked(saga_id, causation_id)
JOIN amends.workflow_events AS event ON event.workflow_id = asked.saga_id AND event.causation_id = asked.causation_id
