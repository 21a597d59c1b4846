"""An approved plan becomes tasks that sellers see."""

from pydantic import BaseModel

from amends import Context, Permanent, Saga, Transaction


class Approve(BaseModel):
    plan_id: str
    approved_by: str


class Plan(BaseModel):
    id: str
    phase1: list[str]
    opportunities: list[str]


class Phase1(BaseModel):
    titles: list[str]


class Task(BaseModel):
    id: str
    title: str


class Mailer:
    async def send(self, to: str, text: str, key: str) -> None: ...


approval = Saga("approval", input=Approve, resources=[Mailer])


@approval.step("plan")
async def approve_plan(request: Approve, transaction: Transaction) -> Plan:
    rows = await transaction.fetch(
        "UPDATE marketplace_plans SET status = 'approved' WHERE id = $1 AND status IN ('pending', 'approved') "
        "RETURNING id, phase1, opportunities",
        request.plan_id,
    )
    if not rows:
        raise Permanent(f"plan {request.plan_id} does not exist or cannot be approved")
    return Plan.model_validate(rows[0])


@approve_plan.undo
async def restore_plan(request: Approve, transaction: Transaction) -> None:
    await transaction.execute("UPDATE marketplace_plans SET status = 'pending' WHERE id = $1", request.plan_id)


@approval.step("phase1")
async def take_phase1(plan: Plan) -> Phase1:
    if not plan.phase1:
        raise Permanent("the plan has no phase 1")
    return Phase1(titles=plan.phase1)


@take_phase1.fallback
async def generate_phase1(plan: Plan) -> Phase1:
    return Phase1(titles=plan.opportunities[:5] or ["Review the plan"])


@approval.step("tasks")
async def create_tasks(plan: Plan, phase1: Phase1, transaction: Transaction) -> list[Task]:
    return [
        Task(
            id=str(
                await transaction.fetchval(
                    "INSERT INTO tasks (plan_id, title) VALUES ($1, $2) RETURNING id", plan.id, title
                )
            ),
            title=title,
        )
        for title in phase1.titles
    ]


@create_tasks.undo
async def delete_tasks(result: list[Task], transaction: Transaction) -> None:
    await transaction.execute("DELETE FROM tasks WHERE id = ANY($1)", [task.id for task in result])


@approval.step("assignment", queue="task-assignment")
async def assign_tasks(tasks: list[Task], transaction: Transaction) -> dict[str, str]:
    return {task.id: "someone" for task in tasks}


@assign_tasks.undo
async def unassign_tasks(result: dict[str, str], transaction: Transaction) -> None:
    await transaction.execute("UPDATE tasks SET assignee = NULL WHERE id = ANY($1)", list(result))


@approval.step("published", pivot=True, after=[assign_tasks])
async def publish_plan(plan: Plan, transaction: Transaction) -> None:
    await transaction.execute("UPDATE marketplace_plans SET status = 'ready' WHERE id = $1", plan.id)


@approval.step("notified", after=[publish_plan])
async def notify(request: Approve, tasks: list[Task], mailer: Mailer, context: Context) -> None:
    await mailer.send(request.approved_by, f"{len(tasks)} tasks", context.idempotency_key)
