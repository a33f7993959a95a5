"""Makes AWS calls for the tests: one order per line on stdin, one answer per line on stdout, both JSON.

It ends when stdin does. What a call is given and what it returns is what botocore documents for it.
"""

import json
import sys
from functools import lru_cache

import botocore.session
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

# No retries: a test wants to see each refusal. Patience above any hang that a test arranges.
CONFIG = Config(retries={"total_max_attempts": 1}, connect_timeout=10, read_timeout=60)
SESSION = botocore.session.Session()


@lru_cache(maxsize=64)
def client(endpoint, service, key_id, secret, token):
    return SESSION.create_client(
        service,
        region_name="us-east-1",
        # None: AWS itself.
        endpoint_url=endpoint or None,
        aws_access_key_id=key_id,
        aws_secret_access_key=secret,
        aws_session_token=token,
        config=CONFIG,
    )


def call(endpoint, keys, service, operation, arguments):
    function = getattr(client(endpoint, service, keys["id"], keys["secret"], keys["token"]), operation)
    answer = function(**arguments)
    answer.pop("ResponseMetadata", None)
    return answer


def pages(endpoint, keys, service, operation, arguments):
    """All pages of a list in one."""
    paginator = client(endpoint, service, keys["id"], keys["secret"], keys["token"]).get_paginator(operation)
    answer = paginator.paginate(**arguments).build_full_result()
    answer.pop("ResponseMetadata", None)
    return answer


def tags(entity):
    return {tag["Key"]: tag["Value"] for tag in entity.get("Tags", [])}


def attached(entity):
    return sorted(policy["PolicyArn"] for policy in entity.get("AttachedManagedPolicies", []))


def inline(entity, field):
    return {policy["PolicyName"]: policy["PolicyDocument"] for policy in entity.get(field, [])}


def snapshot(endpoint, keys):
    """Everything that access could be left behind in, without ids and dates that differ from run to run."""

    def ask(service, operation, **arguments):
        return call(endpoint, keys, service, operation, arguments)

    details = pages(endpoint, keys, "iam", "get_account_authorization_details", {})
    roles = {
        role["Arn"]: {
            "trust": role["AssumeRolePolicyDocument"],
            "tags": tags(role),
            "inline": inline(role, "RolePolicyList"),
            "attached": attached(role),
            "boundary": role.get("PermissionsBoundary", {}).get("PermissionsBoundaryArn"),
        }
        for role in details["RoleDetailList"]
    }
    users = {
        user["Arn"]: {
            "tags": tags(user),
            "inline": inline(user, "UserPolicyList"),
            "attached": attached(user),
            "groups": sorted(user.get("GroupList", [])),
            "keys": {
                key["AccessKeyId"]: key["Status"]
                for key in ask("iam", "list_access_keys", UserName=user["UserName"])["AccessKeyMetadata"]
            },
        }
        for user in details["UserDetailList"]
    }
    policies = {
        policy["Arn"]: {
            version["VersionId"]: {"document": version["Document"], "default": version["IsDefaultVersion"]}
            for version in policy["PolicyVersionList"]
        }
        for policy in details["Policies"]
        if ":aws:policy/" not in policy["Arn"]
    }
    associations = {}
    for cluster in pages(endpoint, keys, "eks", "list_clusters", {})["clusters"]:
        found = pages(endpoint, keys, "eks", "list_pod_identity_associations", {"clusterName": cluster})
        for entry in found["associations"]:
            whole = ask(
                "eks",
                "describe_pod_identity_association",
                clusterName=cluster,
                associationId=entry["associationId"],
            )["association"]
            place = f"{cluster}/{whole['namespace']}/{whole['serviceAccount']}"
            associations[place] = {"role": whole["roleArn"], "tags": whole.get("tags", {})}
    return {"roles": roles, "users": users, "policies": policies, "associations": associations}


def answer(order):
    endpoint, keys = order["endpoint"], order["keys"]
    try:
        if order["do"] == "snapshot":
            return {"ok": snapshot(endpoint, keys)}
        make = {"call": call, "pages": pages}[order["do"]]
        return {"ok": make(endpoint, keys, order["service"], order["operation"], order["arguments"])}
    except ClientError as error:
        details = error.response.get("Error", {})
        return {
            "refused": {
                "code": details.get("Code", ""),
                "message": details.get("Message", ""),
                "status": error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0),
            }
        }
    except (BotoCoreError, AttributeError, KeyError, TypeError) as error:
        return {"failed": f"{type(error).__name__}: {error}"}


def main():
    for line in sys.stdin:
        print(json.dumps(answer(json.loads(line)), default=str), flush=True)


main()
