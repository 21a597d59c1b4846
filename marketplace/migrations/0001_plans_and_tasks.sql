-- The application's own tables (design section 10). States: G-19 of the requirements.

CREATE TABLE public.marketplace_documents (
    id         uuid PRIMARY KEY,
    filename   text NOT NULL,
    kind       text NOT NULL CHECK (kind IN ('pdf', 'docx', 'xlsx', 'csv', 'text')),
    text       text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

CREATE TABLE public.marketplace_plans (
    id          uuid PRIMARY KEY,
    document_id uuid NOT NULL REFERENCES public.marketplace_documents,
    channels    text[] NOT NULL,
    status      text NOT NULL CHECK (status IN ('analysing', 'pending', 'approved', 'ready', 'failed', 'cancelled')),
    plan_data   jsonb NOT NULL DEFAULT '{}',
    error       text,
    approved_by text,
    analysis_id uuid, -- the saga that analyses it, and the one that approved it: no other may touch what they did
    approval_id uuid,
    created_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    updated_at  timestamptz NOT NULL DEFAULT clock_timestamp()
);

CREATE TABLE public.tasks (
    id         uuid PRIMARY KEY,
    plan_id    uuid NOT NULL REFERENCES public.marketplace_plans,
    phase      integer NOT NULL,
    position   integer NOT NULL,
    title      text NOT NULL,
    assignee   text,
    generated  boolean NOT NULL DEFAULT false,
    status     text NOT NULL CHECK (status IN ('pending', 'assigned', 'in progress', 'done', 'cancelled')),
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    UNIQUE (plan_id, phase, position)
);

-- What sellers are told; the key makes telling them twice impossible.
CREATE TABLE public.marketplace_notifications (
    key        text PRIMARY KEY,
    plan_id    uuid NOT NULL,
    recipient  text NOT NULL,
    text       text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
