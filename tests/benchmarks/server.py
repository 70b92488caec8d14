"""The service as a process of its own, as quick as it gets: `python server.py LIMIT SECONDS`.

It prints its port, sells each external task id once, and answers GET /count with what it has sold.
"""

import json
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

_PATH = "/v1/videos/effects"


class Shop:
    """Tasks that are done after so many seconds; at most so many at once."""

    def __init__(self, limit: int, seconds: float) -> None:
        self._limit = limit
        self._seconds = seconds
        self._lock = threading.Lock()
        self._sold: dict[str, tuple[str, float]] = {}
        self._ends = list[float]()
        self.refused = 0
        self.looks = 0

    def sell(self, name: str) -> dict[str, object]:
        """Sell a task, or refuse to."""
        now = time.monotonic()
        with self._lock:
            self._ends = [end for end in self._ends if end > now]
            if name in self._sold:
                return {"code": 1201, "message": "external_task_id already exists"}
            if len(self._ends) >= self._limit:
                self.refused += 1
                return {"code": 1303, "message": "parallel task over resource pack limit"}
            task_id = str(10**17 + len(self._sold))
            self._sold[name] = self._sold[task_id] = (task_id, now + self._seconds)
            self._ends.append(now + self._seconds)
        return {"code": 0, "data": {"task_id": task_id, "task_status": "submitted"}}

    def look(self, name: str) -> dict[str, object]:
        with self._lock:
            self.looks += 1
            if name not in self._sold:
                return {"code": 1203, "message": "not found"}
            task_id, end = self._sold[name]
        status = "succeed" if time.monotonic() >= end else "processing"
        videos = [{"id": task_id, "url": f"http://127.0.0.1/{task_id}.mp4", "duration": "5.0"}]
        result = {"task_result": {"videos": videos}} if status == "succeed" else {}
        return {"code": 0, "data": {"task_id": task_id, "task_status": status, **result}}

    def count(self) -> dict[str, object]:
        sold = len({task_id for task_id, _ in self._sold.values()})
        return {"sold": sold, "refused": self.refused, "looks": self.looks}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    shop: Shop

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        # The id stands behind the pictures; what is before it need not be parsed.
        tail = body[body.rindex(b'"external_task_id"') :]
        self._answer(self.shop.sell(json.loads(b"{" + tail)["external_task_id"]))

    def do_GET(self) -> None:
        name = self.path.rpartition("/")[2]
        self._answer(self.shop.count() if name == "count" else self.shop.look(name))

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""

    def _answer(self, record: dict[str, object]) -> None:
        body = json.dumps({"message": "SUCCEED", "request_id": "r", **record}).encode()
        status = {0: 200, 1303: 429, 1203: 404, 1201: 400}[int(str(record.get("code", 0)))]
        self.send_response_only(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def main(limit: str, seconds: str) -> None:
    """Serve until the process is ended."""
    Handler.shop = Shop(int(limit), float(seconds))
    ThreadingHTTPServer.request_queue_size = 128
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    print(server.server_address[1], flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main(*sys.argv[1:])
