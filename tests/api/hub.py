"""A stand-in of the Hugging Face hub: as much of its HTTP interface as its client needs to create, upload and download.

with running() as (endpoint, hub): ...
"""

import base64
import hashlib
import json
import re
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

COMMIT = "0123456789abcdef0123456789abcdef01234567"
TOKEN = "hf_of_the_stand_in"


@dataclass
class Hub:
    """What the server holds: files by repository and name, and objects of Git LFS by their SHA-256."""

    files: dict[str, dict[str, bytes]] = field(default_factory=dict)
    private: set[str] = field(default_factory=set)
    objects: dict[str, bytes] = field(default_factory=dict)
    commits: list[list[str]] = field(default_factory=list)


def handler(hub, endpoint):
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self, value=None, status=200, headers=(), body=None):
            data = json.dumps(value if value is not None else {}).encode() if body is None else body
            self.send_response(status)
            for name, text in dict(headers).items():
                self.send_header(name, text)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(data)

        def refuse(self, code, status):
            self.answer({"error": code}, status, {"X-Error-Code": code, "X-Error-Message": code})

        @property
        def is_known(self):
            return self.headers.get("authorization") == f"Bearer {TOKEN}"

        def do_HEAD(self):
            self.do_GET()

        def do_GET(self):
            match = re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", self.path)
            repo, revision, name = match.groups() if match else ("", "", "")
            if repo not in hub.files or (repo in hub.private and not self.is_known):
                return self.refuse("RepoNotFound", 401)
            if revision not in {"main", COMMIT}:
                return self.refuse("RevisionNotFound", 404)
            if name not in hub.files[repo]:
                return self.refuse("EntryNotFound", 404)
            data = hub.files[repo][name]
            headers = {"ETag": f'"{hashlib.sha256(data).hexdigest()}"', "X-Repo-Commit": COMMIT}
            return self.answer(body=data, headers=headers)

        def do_PUT(self):
            data = self.rfile.read(int(self.headers["Content-Length"]))
            oid = self.path.rpartition("/")[2]
            if hashlib.sha256(data).hexdigest() != oid:
                return self.refuse("BadObject", 422)
            hub.objects[oid] = data
            return self.answer()

        def do_POST(self):
            data = self.rfile.read(int(self.headers["Content-Length"]))
            if not self.is_known:
                return self.refuse("Unauthorized", 401)
            if self.path == "/api/repos/create":
                value = json.loads(data)
                repo = f"{value['organization'] or 'somebody'}/{value['name']}"
                if value.get("visibility") == "private":
                    hub.private.add(repo)
                known = repo in hub.files
                hub.files.setdefault(repo, {})
                return self.answer({"url": f"{endpoint}/{repo}"}, 409 if known else 200)
            if self.path == "/api/validate-yaml":
                return self.answer({"errors": [], "warnings": []})
            if match := re.fullmatch(r"/api/models/([^/]+/[^/]+)/preupload/main", self.path):
                return self.answer({"files": [preupload(row["path"]) for row in json.loads(data)["files"]]})
            if self.path.endswith("/info/lfs/objects/batch"):
                rows = json.loads(data)["objects"]
                return self.answer({"transfer": "basic", "objects": [lfs(row, endpoint) for row in rows]})
            if match := re.fullmatch(r"/api/models/([^/]+/[^/]+)/commit/main", self.path):
                commit(hub, match[1], map(json.loads, data.splitlines()))
                url = f"{endpoint}/{match[1]}/commit/{COMMIT}"
                return self.answer({"commitUrl": url, "commitOid": COMMIT, "success": True})
            return self.refuse("NotFound", 404)

        def log_message(self, *_):
            pass

    return Handler


def preupload(path):
    mode = "lfs" if path.endswith(".safetensors") else "regular"
    return {"path": path, "uploadMode": mode, "shouldIgnore": False, "oid": None}


def lfs(row, endpoint):
    return row | {"actions": {"upload": {"href": f"{endpoint}/objects/{row['oid']}"}}}


def commit(hub, repo, rows):
    names = []
    for row in rows:
        value = row["value"]
        if row["key"] == "file":
            hub.files[repo][value["path"]] = base64.b64decode(value["content"])
        elif row["key"] == "lfsFile":
            hub.files[repo][value["path"]] = hub.objects[value["oid"]]
        names += [value["path"]] if "path" in value else []
    hub.commits.append(sorted(names))


@contextmanager
def running():
    """The address of a hub on this machine, and what it holds."""
    hub = Hub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    endpoint = f"http://127.0.0.1:{server.server_port}"
    server.RequestHandlerClass = handler(hub, endpoint)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield endpoint, hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
