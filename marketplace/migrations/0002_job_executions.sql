-- One row for each job, filled from the sagas' events and by nobody else (req. E5, E6, X7, X8).
CREATE TABLE public.marketplace_job_executions (
    id             uuid PRIMARY KEY,
    plan_id        uuid NOT NULL REFERENCES public.marketplace_plans (id) ON DELETE CASCADE,
    job_id         varchar(255) NOT NULL UNIQUE,
    status         varchar(50) NOT NULL,
    error_message  text,
    attempt_number integer NOT NULL DEFAULT 1,
    created_at     timestamptz NOT NULL,
    completed_at   timestamptz,
    result         jsonb
);
CREATE INDEX idx_plan_id_job ON public.marketplace_job_executions (plan_id);
CREATE INDEX idx_status ON public.marketplace_job_executions (status);
