-- Which program can read a saga (sagas/versions.py): like a held one, a newer saga is left alone by every look of an old one.
ALTER TABLE amends.sagas ADD COLUMN format smallint NOT NULL DEFAULT 1;
CREATE INDEX sagas_newer ON amends.sagas (saga_id) WHERE format > 1;
