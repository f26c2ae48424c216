"""Signs what comes on standard input as JSON, with botocore, and prints the header and the hash of the body."""

import hashlib
import json
import sys

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

asked = json.load(sys.stdin)
body = asked["body"].encode()
request = AWSRequest("POST", asked["url"], headers=asked["headers"], data=body)
request.context["timestamp"] = asked["headers"]["x-amz-date"]
auth = SigV4Auth(Credentials(asked["key"], asked["secret"], asked["token"]), asked["service"], asked["region"])
auth._modify_request_before_signing(request)
auth._inject_signature_to_request(request, auth.signature(auth.string_to_sign(request, auth.canonical_request(request)), request))
print(json.dumps({"authorization": request.headers["Authorization"], "hash": hashlib.sha256(body).hexdigest()}))
