"""A step of a pipeline that uses boto3's foundation: does what the words say, in order, with one session.

`clusters` and `buckets` call AWS and write a line of the access key and the outcome; `tell FILE` writes the lines so
far into a file; `wait FILE` waits until that file is there. It ends badly if its folder goes away. `keep FILE`
writes its keys into a file, and `show` into both outputs, as whoever looks for something may do.
"""

import base64
import json
import os
import select
import sys
from urllib.parse import quote

import botocore.session
from botocore.exceptions import BotoCoreError, ClientError

SESSION = botocore.session.Session()
LINES = []


def call(service, operation):
    client = SESSION.create_client(service)
    try:
        getattr(client, operation)()
        outcome = "allowed"
    except ClientError as error:
        outcome = error.response["Error"]["Code"]
    except BotoCoreError as error:
        outcome = type(error).__name__
    credentials = SESSION.get_credentials()
    LINES.append(f"{credentials.get_frozen_credentials().access_key if credentials else '-'} {outcome}")
    print(LINES[-1], flush=True)


def keys():
    found = SESSION.get_credentials().get_frozen_credentials()
    return [found.access_key, found.secret_key, found.token]


def show():
    for secret in keys()[1:]:
        forms = [secret, quote(secret, safe=""), json.dumps({"key": secret})]
        forms += [base64.b64encode(("x" * before + secret).encode()).decode() for before in range(3)]
        for form in forms:
            print(form, flush=True)
            print(form, file=sys.stderr, flush=True)


def main():
    words = iter(sys.argv[1:])
    for word in words:
        if word == "clusters":
            call("ecs", "list_clusters")
        elif word == "buckets":
            call("s3", "list_buckets")
        elif word == "tell":
            with open("next", "w") as file:
                file.write("\n".join(LINES) + "\n")
            os.rename("next", next(words))
        elif word == "keep":
            with open(next(words), "w") as file:
                file.write("\n".join(keys()))
        elif word == "show":
            show()
        elif word == "wait":
            name = next(words)
            while not os.path.exists(name):
                os.stat("stdout")
                # A sleep is until a time, which a test's clock may jump over.
                select.select([], [], [], 0.01)
        else:
            sys.exit(f"`{word}` is not known")


main()
