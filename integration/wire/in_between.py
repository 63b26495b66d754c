"""A server in between: shows the certificate of a TLS_DIR and passes every call on to another server, as the node of an
ID_DIR. Run by tests/logins.rs: in_between.py TLS_DIR ID_DIR HOST PORT. Says where it listens, then what it passed on.
"""

import http.client
import http.server
import ssl
import sys

TLS, ID, HOST, PORT = sys.argv[1:]


class InBetween(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        context = ssl.create_default_context(cafile=f"{ID}/ca.crt")
        context.load_cert_chain(f"{ID}/client.crt", f"{ID}/client.key")
        onward = http.client.HTTPSConnection(HOST, int(PORT), context=context, timeout=20)
        kept = {name: value for name in ("Content-Type", "Authorization") if (value := self.headers.get(name))}
        onward.request("POST", self.path, body, kept)
        answer = onward.getresponse()
        content = answer.read()
        print("passed on", self.path, answer.status, flush=True)
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.headers.get("Content-Type", "application/json"))
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_):
        pass


context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(f"{TLS}/server.crt", f"{TLS}/server.key")
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), InBetween)
server.socket = context.wrap_socket(server.socket, server_side=True)
print("listening on", server.server_address[1], flush=True)
server.serve_forever()
