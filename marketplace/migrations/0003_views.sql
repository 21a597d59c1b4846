-- The engine's views with the plan beside each job (req. E7).
CREATE VIEW public.job_queue AS
SELECT job.plan_id, queue.* FROM amends.job_queue AS queue
LEFT JOIN public.marketplace_job_executions AS job ON job.job_id = queue.job_id::text;

CREATE VIEW public.job_queue_history AS
SELECT history.id, job.plan_id, history.job_id, history.status, history.queue_name, history.attempts, history.error_message,
    history.created_at, history.completed_at, history.step, history.item, history.role
FROM amends.job_queue_history AS history
LEFT JOIN public.marketplace_job_executions AS job ON job.job_id = history.job_id::text;
