"""faulty.py FAULT [MARKER]: answers lines as a plug-in does, but for one group of a run.

The group that comes to make MARKER gets the fault; without MARKER every group does.
`faulty.py --serve PORTFILE` answers by HTTP, on the port that PORTFILE says or else on one
that it writes there; there the address says both: http://127.0.0.1:PORT/FAULT/MARKER.
"""

import json
import os
import signal
import sys
import time


def take_marker(path):
    if not path:
        return True
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        return True
    except FileExistsError:
        return False


def results(request):
    return [{"score": len(s["ids"]) % 2, "parts": {"n": len(s["text"])}} for s in request["samples"]]


def answer(request):
    if request["type"] == "hello":
        return {"hone_reward": 1, "name": "faulty", "version": "1", "deterministic": True}
    return {"id": request["id"], "results": results(request)}


# ---- as a program -------------------------------------------------------------------


def spoil(fault, request):
    """The bytes to answer with."""
    good = answer(request)
    if fault == "nan":
        good["results"][0]["score"] = float("nan")  # json.dumps writes NaN, which is no JSON
    elif fault == "range":
        good["results"][0]["score"] = -3
    elif fault == "word":
        good["results"][0]["score"] = "high"
    elif fault == "status":
        good["results"][0]["status"] = "fine"
    elif fault == "null":
        good["results"][0] = None
    elif fault == "count":
        good["results"].pop()
    elif fault == "id":
        good["id"] -= 1
    elif fault == "error":
        good = {"id": request["id"], "error": "no dictionary today"}
    line = json.dumps(good).encode() + b"\n"
    if fault == "garbage":
        return b"Traceback (most recent call last):\n"
    if fault == "twice":
        return line + line
    if fault == "bytes":
        return b'{"id": %d, "results": ["\xff\xfe"]}\n' % request["id"]
    if fault == "deep":
        return b"[" * 100000 + b"\n"
    if fault == "half":
        return line[: len(line) // 2]
    return line


def disturb(fault):
    """What ends a program, or leaves it without an answer."""
    if fault == "segv":
        os.kill(os.getpid(), signal.SIGSEGV)
    elif fault == "exit":
        sys.exit(3)
    elif fault in ("hang", "half"):
        time.sleep(600)
    elif fault == "close":
        os.close(1)
        time.sleep(600)
    elif fault == "flood":
        while True:
            sys.stdout.buffer.write(b"x" * 65536)


def run_lines(fault, marker):
    for line in sys.stdin.buffer:
        request = json.loads(line)
        if request["type"] == "score" and take_marker(marker):
            reply = spoil(fault, request)
            if fault != "half":
                disturb(fault)
        else:
            reply = json.dumps(answer(request)).encode() + b"\n"
        sys.stdout.buffer.write(reply)
        sys.stdout.buffer.flush()
        if not reply.endswith(b"\n"):
            disturb(fault)


# ---- as a server --------------------------------------------------------------------


def reply(handler, code, body):
    handler.send_response(code)
    handler.send_header("Content-Type", "application/json")
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)


def serve(handler):
    _, fault, marker = handler.path.split("/")
    request = json.loads(handler.rfile.read(int(handler.headers["Content-Length"])))
    if request["type"] != "score" or not take_marker(marker):
        reply(handler, 200, json.dumps(answer(request)).encode())
    elif fault.isdigit():
        reply(handler, int(fault), b"no\n")
    elif fault == "slow":
        time.sleep(600)
    elif fault == "trickle":
        handler.send_response(200)
        handler.end_headers()
        while True:
            handler.wfile.write(b" ")
            time.sleep(0.05)
    elif fault == "vanish":
        os._exit(0)
    elif fault == "hangup":
        handler.close_connection = True
    elif fault == "flood":
        reply(handler, 200, b"[" + b" " * (17 << 20))
    else:
        reply(handler, 200, spoil(fault, request))


def run_server(port_file):
    import http.server  # slow to load, and no line needs it

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *args):
            pass

        def do_POST(self):
            serve(self)

    class Server(http.server.ThreadingHTTPServer):
        def handle_error(self, request, client_address):
            """A client that left is no news."""

    port = int(open(port_file).read()) if os.path.exists(port_file) else 0
    server = Server(("127.0.0.1", port), Handler)
    with open(port_file + ".new", "w") as f:
        f.write(str(server.server_address[1]))
    os.rename(port_file + ".new", port_file)
    server.serve_forever()


def main(args):
    if args[0] == "--serve":
        run_server(args[1])
    else:
        run_lines(args[0], args[1] if len(args) > 1 else "")


main(sys.argv[1:])
