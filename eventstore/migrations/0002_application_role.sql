-- A role for the running application, where this user may make one: it adds events and never changes them.

DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = current_user AND (rolsuper OR rolcreaterole)) THEN
        RETURN;
    END IF;
    BEGIN
        CREATE ROLE amends_app NOLOGIN;
    EXCEPTION
        WHEN duplicate_object OR unique_violation THEN NULL;
    END;
    EXECUTE format('GRANT amends_app TO %I', current_user);
    GRANT USAGE ON SCHEMA amends, public TO amends_app;
    GRANT SELECT, INSERT ON ALL TABLES IN SCHEMA amends TO amends_app;
    GRANT UPDATE, DELETE ON amends.sagas, amends.waits, amends.effects, amends.event_outbox, amends.workers, amends.transport,
        amends.saga_definitions, amends.cluster, amends.feed_cursors TO amends_app;
    REVOKE INSERT, UPDATE, DELETE ON amends.schema_migrations FROM amends_app;
    GRANT USAGE ON ALL SEQUENCES IN SCHEMA amends TO amends_app;
    GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO amends_app;
    GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO amends_app;
    ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO amends_app;
    ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT USAGE ON SEQUENCES TO amends_app;
END $$;
