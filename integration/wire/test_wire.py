"""The wire as people with Python `requests` see it. Run by tests/wire.rs, which starts the server.
A login that succeeds forgives the failures before it, so tests of failures begin with one.

The environment says where: URL and REDIRECT (http://…), IDS (a folder with alice, bob, carol, alice2).
Signatures are made by openssl, not by 3S.
"""

import base64
import hashlib
import os
import ssl
import subprocess
import tempfile
import time
import unittest
from urllib.parse import urlsplit

import requests

URL = os.environ["URL"]
REDIRECT = os.environ["REDIRECT"]
IDS = os.environ["IDS"]
NODES = {"alice": "client1", "bob": "client2", "carol": "client3", "alice2": "client4"}


def sign(identity, statement):
    with tempfile.NamedTemporaryFile() as text:
        text.write(statement.encode())
        text.flush()
        signature = subprocess.run(
            ["openssl", "dgst", "-sha256", "-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:32",
             "-sign", f"{IDS}/{identity}/user.key", text.name],
            check=True, capture_output=True).stdout
    return base64.b64encode(signature).decode()


class Client(requests.Session):
    """A machine with its certificate, and a user once logged in."""

    def __init__(self, identity):
        super().__init__()
        self.trust_env = False  # REQUESTS_CA_BUNDLE would go before `verify`
        self.identity = identity
        self.uid = "alice" if identity == "alice2" else identity
        self.cert = (f"{IDS}/{identity}/client.crt", f"{IDS}/{identity}/client.key")
        self.verify = f"{IDS}/{identity}/ca.crt"

    def request(self, method, path, **more):
        more.setdefault("timeout", 30)
        return super().request(method, path if "://" in path else URL + path, **more)

    def challenge(self, uid=None):
        answer = self.post("/v1/challenge", json={"uid": uid or self.uid})
        assert answer.status_code == 200, answer.text
        assert answer.json()["expires_in"] > 0
        return answer.json()["challenge"]

    def statement(self, challenge, node=None, uid=None):
        node = node or NODES[self.identity]
        return f"{node} as {uid or self.uid} logs into the Server\nchallenge: {challenge}"

    def login_with(self, statement, signature, uid=None):
        return self.post("/v1/login", json={"uid": uid or self.uid, "statement": statement, "signature": signature})

    def login(self):
        statement = self.statement(self.challenge())
        answer = self.login_with(statement, sign(self.identity, statement))
        assert answer.status_code == 200, answer.text
        assert answer.json()["expires_in"] > 0
        self.headers["Authorization"] = "Bearer " + answer.json()["token"]
        return self


class Wire(unittest.TestCase):
    def problem(self, answer, status, *codes):
        """An error in the one shape that errors have."""
        self.assertEqual(answer.status_code, status, answer.text)
        self.assertEqual(answer.headers["Content-Type"].split(";")[0], "application/problem+json")
        body = answer.json()
        self.assertEqual(body["status"], status)
        self.assertTrue(body["request_id"], body)
        for field in ("type", "title", "detail"):
            self.assertIsInstance(body[field], str)
        if codes:
            self.assertIn(body["code"], codes)
        return body

    def fresh(self, name):
        return f"/v1/documents/@alice/{self._testMethodName}-{name}"

    # Sessions.

    def test_health_needs_no_session(self):
        self.assertEqual(Client("carol").get("/v1/health").status_code, 200)

    def test_login_and_logout(self):
        carol = Client("carol").login()
        token = carol.headers["Authorization"]
        self.assertGreaterEqual(len(token.removeprefix("Bearer ")) * 6, 256, "256 random bits")
        self.assertEqual(carol.get("/v1/documents/@carol/none").status_code, 404)
        self.assertIn(carol.post("/v1/logout").status_code, (200, 204))
        self.problem(carol.get("/v1/documents/@carol/none"), 401)

    def test_without_a_session(self):
        carol = Client("carol")
        for method, path in [("GET", "/v1/documents/@carol/x"), ("PUT", "/v1/documents/@carol/x"),
                             ("DELETE", "/v1/documents/@carol/x"), ("GET", "/v1/grants/@carol/x"),
                             ("POST", "/v1/logout")]:
            self.problem(carol.request(method, path), 401, "not_logged_in")
        carol.headers["Authorization"] = "Bearer " + "A" * 43
        self.problem(carol.get("/v1/documents/@carol/x"), 401)

    def test_a_challenge_serves_once(self):
        carol = Client("carol")
        statement = carol.statement(carol.challenge())
        signature = sign("carol", statement)
        self.assertEqual(carol.login_with(statement, signature).status_code, 200)
        self.problem(carol.login_with(statement, signature), 401, "login_refused")

    def test_a_challenge_that_the_server_never_made(self):
        carol = Client("carol").login()
        statement = carol.statement("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")
        self.problem(carol.login_with(statement, sign("carol", statement)), 401, "login_refused")

    def test_a_challenge_names_the_servers_key(self):
        random, server = Client("carol").challenge().split(".")
        self.assertEqual(len(base64.urlsafe_b64decode(random + "=")), 32)
        shown = ssl.get_server_certificate((urlsplit(URL).hostname, urlsplit(URL).port))
        key = subprocess.run("openssl x509 -pubkey -noout | openssl pkey -pubin -outform der", shell=True,
                             input=shown.encode(), check=True, capture_output=True).stdout
        self.assertEqual(base64.urlsafe_b64decode(server + "="), hashlib.sha256(key).digest())

    def test_a_wrong_key(self):
        carol = Client("carol").login()
        statement = carol.statement(carol.challenge())
        self.problem(carol.login_with(statement, sign("bob", statement)), 401, "login_refused")

    def test_a_wrong_statement(self):
        carol = Client("carol").login()
        for change in [{"node": "client1"}, {"uid": "alice"}]:
            statement = carol.statement(carol.challenge(), **change)
            self.problem(carol.login_with(statement, sign("carol", statement)), 401, "login_refused")
        statement = carol.statement(carol.challenge()) + "\n"
        self.problem(carol.login_with(statement, sign("carol", statement)), 401, "login_refused")

    def test_another_salt_or_padding(self):
        carol = Client("carol").login()
        for options in [["-sigopt", "rsa_padding_mode:pkcs1"],
                        ["-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:20"]]:
            statement = carol.statement(carol.challenge())
            signature = subprocess.run(["openssl", "dgst", "-sha256", *options, "-sign", f"{IDS}/carol/user.key"],
                                       input=statement.encode(), check=True, capture_output=True).stdout
            answer = carol.login_with(statement, base64.b64encode(signature).decode())
            self.problem(answer, 401, "login_refused")

    def test_a_challenge_for_an_unknown_user_looks_the_same(self):
        known, unknown = (Client("carol").post("/v1/challenge", json={"uid": uid}) for uid in ("carol", "mallory"))
        self.assertEqual((known.status_code, known.json().keys()), (unknown.status_code, unknown.json().keys()))
        self.assertEqual(len(known.json()["challenge"]), len(unknown.json()["challenge"]))

    def test_zz_many_failures_are_slowed_down(self):
        # The last of all: it leaves alice's fourth machine slowed down.
        client = Client("alice2").login()
        statement = client.statement("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")
        signature = sign("bob", statement)
        for _ in range(30):
            answer = client.login_with(statement, signature)
            if answer.status_code == 429:
                break
            self.problem(answer, 401, "login_refused")
        self.problem(answer, 429, "throttled")
        self.assertGreaterEqual(int(answer.headers["Retry-After"]), 1)
        # The user's other machines are not slowed down.
        Client("alice").login()

    def test_a_token_is_bound_to_its_certificate(self):
        carol, bob = Client("carol").login(), Client("bob")
        bob.headers["Authorization"] = carol.headers["Authorization"]
        self.problem(bob.get("/v1/documents/@carol/x"), 401)
        self.assertEqual(carol.get("/v1/documents/@carol/x").status_code, 404, "and serves its owner on")

    def test_a_newer_login_replaces_the_session(self):
        first = Client("alice").login()
        second = Client("alice2").login()
        body = self.problem(first.get("/v1/documents/@alice/x"), 401, "session_replaced")
        self.assertIn("client4", body["detail"])
        self.assertEqual(second.get("/v1/documents/@alice/x").status_code, 404)

    # Documents.

    def test_put_get_head_delete(self):
        alice, path = Client("alice").login(), self.fresh("f")
        answer = alice.put(path, data=b"hello")
        self.assertIn(answer.status_code, (200, 201), answer.text)
        self.assertEqual(answer.json(), {"version": 1})
        answer = alice.get(path)
        self.assertEqual((answer.status_code, answer.content, answer.headers["ETag"]), (200, b"hello", '"1"'))
        answer = alice.head(path)
        self.assertEqual((answer.status_code, answer.content), (200, b""))
        self.assertEqual((answer.headers["ETag"], answer.headers["Content-Length"]), ('"1"', "5"))
        self.assertEqual(alice.put(path, data=b"again").json(), {"version": 2})
        answer = alice.delete(path)
        self.assertEqual(answer.status_code, 200, answer.text)
        lines = answer.json()["statement"].split("\n")
        self.assertEqual(lines[0], "3S deletion receipt 1")
        self.assertIn("deleted-by: alice", lines)
        self.assertIn("versions: 1-2", lines)
        document = lines[2].removeprefix("document: ")
        again = alice.post("/v1/fs/receipt", json={"document": document})
        self.assertEqual(again.json()["statement"], answer.json()["statement"])
        self.problem(Client("bob").login().post("/v1/fs/receipt", json={"document": document}), 404, "not_found")
        self.problem(alice.get(path), 404, "not_found")
        self.problem(alice.delete(path), 404, "not_found")

    def test_large_and_empty_documents(self):
        alice = Client("alice").login()
        for name, content in [("empty", b""), ("block", os.urandom(65536)), ("large", os.urandom(5_000_001))]:
            self.assertEqual(alice.put(self.fresh(name), data=content).json(), {"version": 1})
            self.assertTrue(alice.get(self.fresh(name)).content == content, name)

    def test_a_body_in_chunks(self):
        alice = Client("alice").login()
        parts = [os.urandom(70_000) for _ in range(5)]
        self.assertEqual(alice.put(self.fresh("f"), data=iter(parts)).json(), {"version": 1})
        self.assertTrue(alice.get(self.fresh("f")).content == b"".join(parts))

    def test_preconditions(self):
        alice, path = Client("alice").login(), self.fresh("f")
        # There is no such document: 404 says as much as 412 would.
        answer = alice.put(path, data=b"x", headers={"If-Match": '"1"'})
        self.problem(answer, 412 if answer.status_code == 412 else 404, "version_moved", "not_found")
        self.problem(alice.get(path), 404, "not_found")
        self.assertEqual(alice.put(path, data=b"one", headers={"If-None-Match": "*"}).json(), {"version": 1})
        self.problem(alice.put(path, data=b"x", headers={"If-None-Match": "*"}), 412)
        self.assertEqual(alice.put(path, data=b"two", headers={"If-Match": '"1"'}).json(), {"version": 2})
        self.problem(alice.put(path, data=b"x", headers={"If-Match": '"1"'}), 412, "version_moved")
        self.assertEqual(alice.get(path).content, b"two", "the server's version stays")

    def test_ranges(self):
        alice, path = Client("alice").login(), self.fresh("f")
        content = os.urandom(200_000)
        alice.put(path, data=content)
        for asked, first, last in [("0-0", 0, 0), ("65530-65545", 65530, 65545), ("199990-", 199990, 199999),
                                   ("-10", 199990, 199999), ("100-999999", 100, 199999), ("-999999", 0, 199999)]:
            answer = alice.get(path, headers={"Range": "bytes=" + asked})
            self.assertEqual(answer.status_code, 206, asked)
            self.assertEqual(answer.headers["Content-Range"], f"bytes {first}-{last}/200000")
            self.assertTrue(answer.content == content[first:last + 1], asked)
        answer = alice.get(path, headers={"Range": "bytes=200000-"})
        self.problem(answer, 416, "bad_range")
        self.assertEqual(answer.headers["Content-Range"], "bytes */200000")

    def test_names_with_other_characters(self):
        alice = Client("alice").login()
        path = self.fresh("%C3%BC%20%25%23%3F.txt")
        self.assertEqual(alice.put(path, data=b"x").json(), {"version": 1})
        self.assertEqual(alice.get(path).content, b"x")
        for bad in ["/v1/documents/alice/x", "/v1/documents/@alice/%2e%2e/x", "/v1/documents/@alice/a%00b",
                    "/v1/documents/@alice/@bob", "/v1/documents/@alice/" + "x" * 300]:
            # Sent as it is: a client library would resolve the dots.
            request = alice.prepare_request(requests.Request("PUT", URL + "/", data=b"x"))
            request.url = URL + bad
            answer = alice.send(request, cert=alice.cert, verify=alice.verify, timeout=30)
            self.assertEqual(answer.status_code // 100, 4, bad)
            self.problem(answer, answer.status_code)

    def test_put_makes_missing_folders(self):
        alice = Client("alice").login()
        self.assertEqual(alice.put(self.fresh("d") + "/e/f", data=b"x").json(), {"version": 1})
        self.problem(alice.get(self.fresh("d")), 409, "is_folder")

    def test_flags(self):
        alice, path = Client("alice").login(), self.fresh("f")
        self.assertEqual(alice.put(path + "?flag=integrity", data=b"x").json(), {"version": 1})
        self.problem(alice.put(path + "?flag=other", data=b"x"), 400)

    # Grants.

    def test_grants(self):
        alice, bob, path = Client("alice").login(), Client("bob").login(), self.fresh("f")
        grants = path.replace("documents", "grants")
        alice.put(path, data=b"secret")
        missing = self.problem(bob.get(self.fresh("never")), 404, "not_found")
        hidden = self.problem(bob.get(path), 404, "not_found")
        for body in (missing, hidden):
            del body["request_id"]
        self.assertEqual(missing, hidden, "a hidden document looks like none")
        answer = alice.put(grants, json={"grantee": "bob", "right": "checkout", "seconds": 3600})
        self.assertEqual(answer.status_code // 100, 2, answer.text)
        self.assertEqual(bob.get(path).content, b"secret")
        self.problem(bob.put(path, data=b"x"), 403, "no_right")
        self.problem(bob.delete(path), 403, "no_right")
        self.problem(bob.put(grants, json={"grantee": "bob", "right": "both", "seconds": 9}), 403, "no_right")
        [listed] = alice.get(grants).json()["grants"]
        self.assertEqual((listed["grantee"], listed["right"]), ("bob", "checkout"))
        self.assertRegex(listed["until"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")
        answer = alice.put(grants, json={"grantee": "ALL", "right": "checkin", "until": listed["until"]})
        self.assertEqual(answer.status_code // 100, 2, answer.text)
        self.problem(bob.get(path), 403)
        self.assertEqual(bob.put(path, data=b"from bob").json(), {"version": 2})
        self.assertEqual(alice.delete(grants + "?grantee=ALL").status_code // 100, 2)
        self.problem(bob.put(path, data=b"x"), 403)
        self.problem(alice.delete(grants + "?grantee=ALL"), 404)
        self.assertEqual(alice.get(path).content, b"from bob")

    def test_a_grant_ends(self):
        alice, bob, path = Client("alice").login(), Client("bob").login(), self.fresh("f")
        alice.put(path, data=b"x")
        alice.put(path.replace("documents", "grants"), json={"grantee": "bob", "right": "checkout", "seconds": 3})
        self.assertEqual(bob.get(path).status_code, 200)
        deadline = time.monotonic() + 30
        while bob.get(path).status_code == 200 and time.monotonic() < deadline:
            time.sleep(0.05)
        self.problem(bob.get(path), 403, "grant_ended")

    def test_grants_that_cannot_be(self):
        alice, path = Client("alice").login(), self.fresh("f")
        alice.put(path, data=b"x")
        good = {"grantee": "bob", "right": "checkout", "seconds": 9}
        for change in [{"right": "read"}, {"seconds": 0}, {"seconds": -1}, {"grantee": "b/b"}, {"seconds": 10**12},
                       {"until": "2999-01-01T00:00:00Z"}, {"seconds": None, "until": "soon"}]:
            self.problem(alice.put(path.replace("documents", "grants"), json={**good, **change}), 400)
        self.assertEqual(alice.get(path.replace("documents", "grants")).json()["grants"], [])

    # Errors and doors.

    def test_unknown_paths_and_methods(self):
        carol = Client("carol").login()
        self.problem(carol.get("/v1/nothing"), 404, "not_found")
        self.problem(carol.delete("/v1/health"), 405, "method_not_allowed")
        self.problem(carol.post("/v1/challenge", data=b"{", headers={"Content-Type": "application/json"}), 400)
        self.problem(carol.post("/v1/challenge", json={"uid": "a/b"}), 400)
        self.assertEqual(carol.post("/v1/challenge", data=b"x" * 10_000_000).status_code, 413)

    def test_without_a_certificate(self):
        with self.assertRaises(requests.exceptions.ConnectionError):
            requests.get(URL + "/v1/health", verify=f"{IDS}/alice/ca.crt", timeout=20)

    def test_plain_http_is_sent_to_https(self):
        answer = requests.put(REDIRECT + "/v1/documents/@alice/x?flag=integrity", data=b"x", allow_redirects=False,
                              timeout=20)
        self.assertEqual(answer.status_code, 308)
        to, https = urlsplit(answer.headers["Location"]), urlsplit(URL)
        self.assertEqual((to.scheme, to.port), ("https", https.port))
        self.assertEqual((to.path, to.query), ("/v1/documents/@alice/x", "flag=integrity"))
        self.assertNotIn(b"secret", answer.content)

    def test_plain_http_to_the_tls_port(self):
        with self.assertRaises(requests.exceptions.RequestException):
            answer = requests.get(URL.replace("https", "http") + "/v1/health", timeout=20)
            answer.raise_for_status()


if __name__ == "__main__":
    unittest.main(verbosity=2)
