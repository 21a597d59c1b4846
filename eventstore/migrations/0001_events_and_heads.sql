-- What sagas are made of: events, heads, waits, and what hangs on them (design section 3).

CREATE TABLE amends.saga_definitions (
    fingerprint text PRIMARY KEY,
    definition  text NOT NULL,
    manifest    json NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    seen_at     timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX saga_definitions_newest ON amends.saga_definitions (definition, seen_at DESC);

-- The head of a saga: what the fold of its events gives, and nothing else.
CREATE TABLE amends.sagas (
    saga_id     uuid PRIMARY KEY,
    definition  text NOT NULL,
    fingerprint text NOT NULL,
    status      text NOT NULL CHECK (status IN ('active', 'compensating', 'completed', 'compensated', 'failed')),
    version     integer NOT NULL CHECK (version > 0),
    key         text,
    held        boolean NOT NULL DEFAULT false,
    closed      boolean NOT NULL DEFAULT false,
    state       json NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    updated_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    UNIQUE (definition, key)
) WITH (fillfactor = 70);

-- Which cluster events are written in: one that was restored or promoted counts its transactions anew (rule A12).
CREATE TABLE amends.cluster (
    one      boolean PRIMARY KEY DEFAULT true CHECK (one),
    epoch    integer NOT NULL DEFAULT 1,
    identity text NOT NULL DEFAULT ''
);
INSERT INTO amends.cluster DEFAULT VALUES;

-- Called by each new connection that appends. The timeline is that of the write-ahead log as it stands.
CREATE FUNCTION amends.meet_cluster() RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    found text;
BEGIN
    SELECT system_identifier || '/' || left(pg_walfile_name(pg_current_wal_lsn()), 8) INTO found FROM pg_control_system();
    UPDATE amends.cluster SET epoch = epoch + (identity <> '')::int, identity = found WHERE identity <> found;
    RETURN (SELECT epoch FROM amends.cluster);
EXCEPTION
    WHEN insufficient_privilege THEN  -- a server that does not tell who it is: one epoch for ever
        RETURN (SELECT epoch FROM amends.cluster);
END $$;

CREATE TABLE amends.workflow_events (
    position        bigint GENERATED ALWAYS AS IDENTITY,
    workflow_id     uuid NOT NULL,
    sequence_number integer NOT NULL CHECK (sequence_number > 0),
    event_type      text NOT NULL,
    schema_version  smallint NOT NULL DEFAULT 1,
    event_data      jsonb NOT NULL,
    created_at      timestamptz NOT NULL,
    actor           text,
    trace_id        text,
    causation_id    text NOT NULL,
    epoch           integer NOT NULL DEFAULT 1,
    transaction_id  xid8 NOT NULL DEFAULT pg_current_xact_id(),
    PRIMARY KEY (epoch, transaction_id, position),
    UNIQUE (workflow_id, sequence_number)
);

-- How far each reader of the feed has come; a new version of a projection begins anew.
CREATE TABLE amends.feed_cursors (
    name           text PRIMARY KEY,
    version        integer NOT NULL,
    epoch          integer NOT NULL DEFAULT 0,
    transaction_id xid8 NOT NULL DEFAULT '0',
    position       bigint NOT NULL DEFAULT 0,
    updated_at     timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- What each open saga waits for. The append deletes and inserts rows; it never updates one (rule A5).
CREATE TABLE amends.waits (
    saga_id       uuid NOT NULL,
    opened_by     integer NOT NULL,
    kind          text NOT NULL,
    step          text,
    item          integer,
    attempt       integer NOT NULL DEFAULT 0,
    queue         text,
    priority      text,
    due_at        timestamptz NOT NULL,
    since         timestamptz NOT NULL,
    published_at  timestamptz,
    entry_id      text,
    unsent        boolean NOT NULL DEFAULT false,
    claimed_by    text,
    claimed_until timestamptz,
    PRIMARY KEY (saga_id, opened_by)
) WITH (fillfactor = 80);
CREATE INDEX waits_due ON amends.waits (due_at);
CREATE INDEX waits_unpublished ON amends.waits (queue, priority, since) WHERE published_at IS NULL;

CREATE TABLE amends.payloads (
    hash       text PRIMARY KEY,
    body       bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- A transaction step's own mark, written in the handler's transaction (rules T1, T2).
CREATE TABLE amends.effects (
    idempotency_key text PRIMARY KEY,
    state           text NOT NULL CHECK (state IN ('done', 'closed')),
    result          json,
    created_at      timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- What is owed to the outside. A row is never dropped: after `max_retries` it alarms, and goes on slowly (req. X2).
CREATE TABLE amends.event_outbox (
    id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    aggregate_id  uuid NOT NULL,
    event_type    text NOT NULL,
    event_data    jsonb NOT NULL,
    created_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    published_at  timestamptz,
    retry_count   integer NOT NULL DEFAULT 0,
    max_retries   integer NOT NULL DEFAULT 10,
    next_retry_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    status        text NOT NULL DEFAULT 'pending' CHECK (status IN ('pending', 'published', 'failed'))
);
CREATE INDEX event_outbox_owed ON amends.event_outbox (next_retry_at, id) WHERE published_at IS NULL;

-- Which workers live, and which handlers they have (rule C7).
CREATE TABLE amends.workers (
    worker_id  text PRIMARY KEY,
    queues     text[] NOT NULL,
    handlers   text[] NOT NULL,
    started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    seen_at    timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- One row: how commands travel, and whose memory they stand in (rules L7, L8).
CREATE TABLE amends.transport (
    one         boolean PRIMARY KEY DEFAULT true CHECK (one),
    mode        text NOT NULL DEFAULT 'redis' CHECK (mode IN ('redis', 'postgres')),
    epoch       integer NOT NULL DEFAULT 0,
    incarnation text NOT NULL DEFAULT '',
    since       timestamptz NOT NULL DEFAULT clock_timestamp()
);
INSERT INTO amends.transport DEFAULT VALUES;

CREATE FUNCTION amends.refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'events never change: % on %.% is refused', TG_OP, TG_TABLE_SCHEMA, TG_TABLE_NAME
        USING ERRCODE = 'integrity_constraint_violation';
END $$;
CREATE TRIGGER events_are_immutable BEFORE UPDATE OR DELETE ON amends.workflow_events
    FOR EACH ROW EXECUTE FUNCTION amends.refuse_change();
CREATE TRIGGER events_are_kept BEFORE TRUNCATE ON amends.workflow_events
    FOR EACH STATEMENT EXECUTE FUNCTION amends.refuse_change();
