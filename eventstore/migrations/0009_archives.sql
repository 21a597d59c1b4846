-- Sagas that stand in files (docs/guides/retention.md). Only the owner of the tables archives: the application reads.

CREATE TABLE amends.archives (
    archive_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    file       text NOT NULL UNIQUE,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    completed_at timestamptz
);
CREATE TABLE amends.archived_sagas (
    saga_id    uuid PRIMARY KEY,
    archive_id bigint NOT NULL REFERENCES amends.archives
);

-- Events never change, and none goes but with its whole saga, once a row says in which file it stands.
CREATE OR REPLACE FUNCTION amends.refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        IF EXISTS (SELECT FROM amends.archived_sagas WHERE saga_id = OLD.workflow_id) THEN
            RETURN OLD;
        END IF;
    END IF;
    RAISE EXCEPTION 'events never change: % on %.% is refused', TG_OP, TG_TABLE_SCHEMA, TG_TABLE_NAME
        USING ERRCODE = 'integrity_constraint_violation';
END $$;

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'amends_app') THEN
        GRANT SELECT ON amends.archives, amends.archived_sagas TO amends_app;
        GRANT UPDATE ON amends.payloads TO amends_app; -- a value that is put again is young again
    END IF;
END $$;
