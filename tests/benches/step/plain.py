"""A plain agent loop: a flag in Redis, state and spend in DynamoDB, a log in Postgres. It is what people write first,
and what this product is measured against: the flag is read once, at the top of a step.

Prints one JSON line: microseconds of each step, and what happened in each race with the flag."""
import http.client
import json
import sys
import threading
import time
import uuid

import boto3
import psycopg
import redis

setting = json.loads(sys.argv[1])
flags = redis.Redis.from_url(setting["redis_url"])
tables = boto3.client(
    "dynamodb", endpoint_url=setting["dynamodb_url"], region_name="eu-west-1",
    aws_access_key_id="local", aws_secret_access_key="local",
)
log = psycopg.connect(setting["database_url"], autocommit=True)
log.execute("create table plain_log (id uuid primary key, deal text, verb text, at timestamptz default now(), what text)")
crm = http.client.HTTPConnection(setting["crm"])
TABLE = setting["table"]
FLAG = "plain:halted:global"


def key(name):
    return {"pk": {"S": name}, "sk": {"S": "plain"}}


def halted():
    return flags.get(FLAG) is not None


def note(text):
    body = json.dumps({
        "properties": {"hs_timestamp": "2026-11-24T09:00:00Z", "hs_note_body": text},
        "associations": [{"to": {"id": "4411"}, "types": [
            {"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": 214}]}],
    })
    headers = {"authorization": "Bearer " + setting["token"], "content-type": "application/json"}
    crm.request("POST", "/crm/objects/" + setting["api_version"] + "/notes", body, headers)
    answer = crm.getresponse()
    answer.read()
    if answer.status >= 300:
        raise SystemExit(f"the CRM said {answer.status}")


def step(run, n, model=lambda: None):
    if halted():
        return None
    tables.get_item(TableName=TABLE, Key=key(run), ConsistentRead=True)
    tables.update_item(
        TableName=TABLE, Key=key("spend"), UpdateExpression="ADD spent :s", ExpressionAttributeValues={":s": {"N": "1"}})
    model()
    began = time.monotonic()
    note("They chose another.")
    log.execute(
        "insert into plain_log (id, deal, verb, what) values (%s, '4411', 'append_note', 'They chose another.')",
        (uuid.uuid4(),))
    tables.put_item(TableName=TABLE, Item={**key(run), "n": {"N": str(n)}})
    return began


def ask(operation, n):
    """One request of a contained step's kind, on rows of this loop's own."""
    if operation == "GetItem":
        tables.get_item(TableName=TABLE, Key=key("r-same"), ConsistentRead=True)
    elif operation == "Query":
        tables.query(
            TableName=TABLE, KeyConditionExpression="pk = :p", ExpressionAttributeValues={":p": {"S": "r-same"}})
    elif operation == "PutItem":
        tables.put_item(TableName=TABLE, Item={**key("r-same"), "n": {"N": str(n)}})
    elif operation == "UpdateItem":
        tables.update_item(
            TableName=TABLE, Key=key("r-same"), UpdateExpression="ADD spent :s",
            ExpressionAttributeValues={":s": {"N": "1"}})
    elif operation == "TransactWriteItems":
        tables.transact_write_items(TransactItems=[
            {"Put": {"TableName": TABLE, "Item": {**key(name), "n": {"N": str(n)}}}} for name in ("r-one", "r-two")])
    else:
        raise SystemExit(f"{operation}: not one of a step's")


def same(n):
    """What one contained step asks of the stores and the CRM, one after the other, with nothing decided."""
    for _ in range(setting["flags"]):
        halted()
    for operation in setting["operations"]:
        ask(operation, n)
    note("They chose another.")


def timed(each):
    took = []
    for n in range(setting["steps"]):
        began = time.perf_counter()
        each(n)
        took.append(round((time.perf_counter() - began) * 1e6))
    return took


steps = timed(lambda n: step("r-plain", n))
same_steps = timed(same)

wrote = 0
for n in range(setting["races"]):
    flags.delete(FLAG)
    answered, pressed = threading.Event(), []

    def press():
        # The model is thinking; she presses.
        flags.set(FLAG, "1")
        pressed.append(time.monotonic())
        answered.set()

    def model():
        threading.Thread(target=press).start()
        answered.wait()

    began = step("r-race", n, model)
    if began is not None and began >= pressed[0]:
        wrote += 1
flags.delete(FLAG)
print(json.dumps({"steps_us": steps, "same_us": same_steps, "races": setting["races"], "wrote_after_the_press": wrote}))
