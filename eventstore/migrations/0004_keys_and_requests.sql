-- Who may call the API, and what keyed requests were answered (req. G-2; design section 10).

-- A key is shown once; its SHA-256 is kept. The prefix finds the row.
CREATE TABLE amends.api_keys (
    prefix     text PRIMARY KEY,
    digest     bytea NOT NULL,
    name       text NOT NULL,
    role       text NOT NULL CHECK (role IN ('viewer', 'producer', 'operator')),
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    revoked_at timestamptz
);

-- One row for each Idempotency-Key of a caller. While `answered_at` is null the request runs until `runs_until`.
CREATE TABLE amends.request_keys (
    caller      text NOT NULL,
    key         text NOT NULL,
    body_hash   text NOT NULL,
    ids_from    uuid NOT NULL,
    runs_until  timestamptz NOT NULL,
    status      integer,
    headers     jsonb,
    body        bytea,
    answered_at timestamptz,
    created_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (caller, key)
);
CREATE INDEX request_keys_age ON amends.request_keys (created_at);

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'amends_app') THEN
        GRANT SELECT, INSERT, UPDATE ON amends.api_keys TO amends_app;
        GRANT SELECT, INSERT, UPDATE, DELETE ON amends.request_keys TO amends_app;
    END IF;
END $$;
