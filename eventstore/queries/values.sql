-- What events carry: the input of a start, a result, or what somebody sent.
SELECT event.workflow_id::text, event.sequence_number,
    (CASE WHEN event.event_type = 'SagaStarted' THEN event.event_data -> 'input'
        WHEN event.event_type IN ('SignalReceived', 'ValueCorrected') THEN event.event_data -> 'value'
        ELSE event.event_data -> 'result' END)::text AS value
FROM unnest($1::uuid[], $2::int[]) AS asked(saga_id, sequence)
JOIN amends.workflow_events AS event ON event.workflow_id = asked.saga_id AND event.sequence_number = asked.sequence
