"""botocore and PyJWT as the tests ask them: one JSON document on standard input, one on standard output.

peers.py sign: [case, ...] -> [[base URL, [parameter, ...]], ...], each parameter as botocore writes it.
peers.py mint: [{"secret", "header", "claims"}, ...] -> [token, ...].
peers.py read: [{"secret", "token"}, ...] -> [[header, claims], ...].
"""

import datetime
import json
import subprocess
import sys

import jwt
from botocore.signers import CloudFrontSigner


def when(seconds):
    return datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc)


def sign(case):
    def openssl(message):
        command = ["openssl", "dgst", "-" + case["hash"].lower(), "-sign", case["pem"]]
        return subprocess.run(command, input=message, capture_output=True, check=True).stdout

    signer = CloudFrontSigner(case["keyPairId"], openssl)
    if case["resource"] is None:
        signed = signer.generate_presigned_url(case["url"], date_less_than=when(case["expires"]))
    else:
        starts = None if case["starts"] is None else when(case["starts"])
        policy = signer.build_policy(case["resource"], when(case["expires"]), starts, case["ip"])
        signed = signer.generate_presigned_url(case["url"], policy=policy)
    assert signed.startswith(case["url"])
    return [case["url"], signed[len(case["url"]) + 1 :].split("&")]


def mint(wanted):
    return jwt.encode(wanted["claims"], wanted["secret"], algorithm="HS256", headers=wanted["header"])


def read(given):
    claims = jwt.decode(given["token"], given["secret"], algorithms=["HS256"])
    return [jwt.get_unverified_header(given["token"]), claims]


do = {"sign": sign, "mint": mint, "read": read}[sys.argv[1]]
json.dump([do(item) for item in json.load(sys.stdin)], sys.stdout)
