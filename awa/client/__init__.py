"""The objects an application holds: `Client`, in parts (jobs, queues, dead letters, registration); `AsyncClient` in
`aio/`.

In: calls of the application. Out: jobs, queues and dead letters as frozen values, and checked errors.
"""
