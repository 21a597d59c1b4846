-- Every look for due waits leaves held sagas out (rule B7); few are.
CREATE INDEX sagas_held ON amends.sagas (saga_id) WHERE held;
