"""Tasks of Django's framework, for whichever of the two there is."""

from importlib import import_module

from awa.integrations.django.roots import root

framework = import_module(root())
signals = import_module(f"{root()}.signals")
exceptions = import_module(f"{root()}.exceptions")
InvalidTask = getattr(exceptions, "InvalidTask", None) or exceptions.InvalidTaskError
task = framework.task


@task
def add(a, b=0):
    return a + b


@task
def nothing():
    pass


@task
def fail(text):
    raise ValueError(text)


class OurError(Exception):
    pass


@task
def fail_ours():
    raise OurError("ours")


@task
def leave():
    raise SystemExit(3)


@task
def lacks():
    import_module("no_such_module")


@task(takes_context=True)
def attempt(context, until=1):
    if context.attempt < until:
        raise ValueError("not yet")
    return [context.attempt, context.task_result.id, context.task_result.status]


@task
async def soon(value):
    return value


@task
def odd():
    return object()


@task(queue_name="email", priority=70)
def mail(to):
    return to


@task(backend="stubborn")
def stubborn():
    raise ValueError("again")


@task(backend="stubborn", takes_context=True)
def second_time(context):
    return attempt.func(context, 2)


def plain():
    pass
