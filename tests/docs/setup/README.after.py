"""A customer orders something: the order and its job are there, and the job is run by the workers."""

from shop import app, client

answer = app.test_client().post("/orders", data={"item": "kayak"})
assert answer.status_code == 201
with client.transaction() as tx:
    job_id = tx.fetch_one("select id from awa.jobs where (args ->> 'order_id')::bigint = $1", answer.json["order"])[
        "id"
    ]
assert client.wait(job_id, timeout=30).result == f"invoice for order {answer.json['order']} sent"
