-- What the projection remembers of a job beside its columns: which steps run or wait to be tried again.
ALTER TABLE public.marketplace_job_executions ADD COLUMN folded jsonb NOT NULL DEFAULT '{}';
