"""Stand-ins for what does not run here, each after the sources of what it stands for.

They are no Kong, no Kubernetes and no Firestore: they answer the few calls that a release makes, and
refuse what the real ones refuse.
"""

from __future__ import annotations

import base64
import copy
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import yaml

Answer = tuple[int, Any]


class StandIn:
    """A server that answers JSON; `answer` is what it is."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        # How many more calls are answered with 503.
        self.away = 0
        self.lock = threading.Lock()
        self.url = ""

    def answer(self, method: str, path: str, query: dict[str, str], body: Any) -> Answer:
        """The status and the JSON of an answer."""
        raise NotImplementedError

    @contextmanager
    def running(self) -> Iterator[None]:
        """Serves as long as the block lasts."""
        stand_in = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _serve(self) -> None:
                length = int(self.headers.get("content-length") or 0)
                body = json.loads(self.rfile.read(length)) if length else None
                split = urlsplit(self.path)
                query = {name: values[-1] for name, values in parse_qs(split.query).items()}
                with stand_in.lock:
                    stand_in.calls.append(f"{self.command} {split.path}")
                    if stand_in.away > 0:
                        stand_in.away -= 1
                        status, answer = 503, {"message": "away"}
                    elif not stand_in.allows(self.headers):
                        status, answer = 401, {"message": "Unauthorized"}
                    else:
                        path = unquote(split.path)
                        status, answer = stand_in.answer(self.command, path, query, body)
                text = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            do_GET = do_POST = do_PUT = do_PATCH = _serve  # noqa: N815

            def log_message(self, *_: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        self.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            server.server_close()

    def allows(self, headers: Any) -> bool:
        """Whether a caller may ask."""
        return True


RULES = {
    "rules": [
        {
            "name": "checkout",
            "upstream": [{"name": "blue", "weight": 100}, {"name": "green", "weight": 0}],
        }
    ]
}


def share(config: Any) -> float:
    """The weight of the canary in a configuration."""
    config = json.loads(config) if isinstance(config, str) else config
    return config["rules"][0]["upstream"][1]["weight"]


class KongWithoutDatabase(StandIn):
    """`/config` and `/status` of the Admin API, after kong/api/routes/config.lua and health.lua of 3.9.3."""

    def __init__(self) -> None:
        super().__init__()
        self.entities: dict[str, Any] = {
            "upstreams": [{"name": "blue", "id": "u1"}, {"name": "green", "id": "u2"}],
            "services": [{"name": "shop", "id": "s1", "host": "blue"}],
            "plugins": [{"name": "tse-route", "id": "p1", "service": "s1", "config": copy.deepcopy(RULES)}],
        }

    def _export(self) -> str:
        return yaml.safe_dump({"_format_version": "3.0", "_transform": False, **self.entities})

    def answer(self, method: str, path: str, query: dict[str, str], body: Any) -> Answer:
        match method, path:
            case "GET", "/":
                return 200, {"configuration": {"database": "off"}, "version": "3.9.3"}
            case "GET", "/status":
                return 200, {"configuration_hash": hashlib.md5(self._export().encode()).hexdigest()}
            case "GET", "/config":
                return 200, {"config": self._export()}
            case "POST", "/config":
                try:
                    entities = yaml.safe_load(body["config"])
                    assert entities.pop("_format_version") == "3.0"
                    assert entities.pop("_transform") is False
                except (yaml.YAMLError, AssertionError, KeyError):
                    return 400, {"message": "declarative config is invalid"}
                self.entities = entities
                return 201, entities
        return 404, {"message": "Not found"}


class KongWithDatabase(StandIn):
    """Plugins and filter chains of the Admin API, in pages of one entity."""

    def __init__(self, in_chain: bool) -> None:
        super().__init__()
        other = {"id": "p0", "name": "cors", "config": {}, "service": {"id": "s1"}}
        plugin = {"id": "p1", "name": "tse-route", "config": copy.deepcopy(RULES), "service": {"id": "s1"}}
        chain = {
            "id": "c1",
            "name": "shop",
            "route": {"id": "r1"},
            # In a filter chain the configuration may be JSON in a string.
            "filters": [{"name": "tse-route", "config": json.dumps(RULES), "enabled": True}],
        }
        self.lists = {
            "upstreams": [{"id": "u1", "name": "blue"}, {"id": "u2", "name": "green"}],
            "plugins": [other] if in_chain else [other, plugin],
            "filter-chains": [chain] if in_chain else [],
        }

    def answer(self, method: str, path: str, query: dict[str, str], body: Any) -> Answer:
        if method == "GET" and path == "/":
            return 200, {"configuration": {"database": "postgres"}, "version": "3.9.3"}
        found = re.fullmatch(r"/(upstreams|plugins|filter-chains)(?:/(\w+))?", path)
        if not found:
            return 404, {"message": "Not found"}
        entities, id = self.lists[found[1]], found[2]
        if id is None:
            offset = int(query.get("offset", 0))
            more = f"/{found[1]}?offset={offset + 1}" if offset + 1 < len(entities) else None
            return 200, {"data": entities[offset : offset + 1], "next": more}
        for entity in entities:
            if entity["id"] == id:
                if method == "PATCH":
                    entity.update(body)
                return 200, copy.deepcopy(entity)
        return 404, {"message": "Not found"}


class Kubernetes(StandIn):
    """Objects of the API server, with optimistic locking by `resourceVersion`."""

    PLURALS = {
        "KongPlugin": "configuration.konghq.com/v1/namespaces/shop/kongplugins",
        "KongClusterPlugin": "configuration.konghq.com/v1/kongclusterplugins",
        "EnvoyExtensionPolicy": "gateway.envoyproxy.io/v1alpha1/namespaces/shop/envoyextensionpolicies",
        "WasmPlugin": "extensions.istio.io/v1alpha1/namespaces/shop/wasmplugins",
    }

    def __init__(self, kind: str) -> None:
        super().__init__()
        group, version = self.PLURALS[kind].split("/")[:2]
        self.path = f"/apis/{self.PLURALS[kind]}/checkout"
        rules = copy.deepcopy(RULES)
        content = {
            "KongPlugin": {"plugin": "tse-route", "config": rules},
            "KongClusterPlugin": {"plugin": "tse-route", "config": rules},
            "EnvoyExtensionPolicy": {"spec": {"wasm": [{"name": "tse-route", "config": rules}]}},
            "WasmPlugin": {"spec": {"pluginName": "tse-route", "pluginConfig": rules}},
        }[kind]
        metadata = {"name": "checkout", "resourceVersion": "7", "annotations": {"kept": "yes"}}
        if "/namespaces/" in self.path:
            metadata["namespace"] = "shop"
        self.object = {
            "apiVersion": f"{group}/{version}",
            "kind": kind,
            "metadata": metadata,
            **content,
        }
        # How many times someone else is faster.
        self.rivals = 0

    def configuration(self) -> Any:
        """The filter's configuration in the object."""
        spec = self.object.get("spec", {})
        if "wasm" in spec:
            return spec["wasm"][0]["config"]
        return spec.get("pluginConfig", self.object.get("config"))

    def answer(self, method: str, path: str, query: dict[str, str], body: Any) -> Answer:
        if path != self.path:
            return 404, self._status(404, "NotFound")
        if method == "PUT":
            if self.rivals > 0:
                self.rivals -= 1
                self._touch()
            if body["metadata"]["resourceVersion"] != self.object["metadata"]["resourceVersion"]:
                return 409, self._status(409, "Conflict")
            self.object = body
            self._touch()
        return 200, self.object

    def kubeconfig(self) -> str:
        """What leads there."""
        return yaml.safe_dump(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "clusters": [{"name": "stand-in", "cluster": {"server": self.url}}],
                "users": [{"name": "test", "user": {"token": "secret"}}],
                "contexts": [{"name": "test", "context": {"cluster": "stand-in", "user": "test"}}],
                "current-context": "test",
            }
        )

    def allows(self, headers: Any) -> bool:
        return headers.get("authorization") == "Bearer secret"

    def _touch(self) -> None:
        metadata = self.object["metadata"]
        metadata["resourceVersion"] = str(int(metadata["resourceVersion"]) + 1)

    @staticmethod
    def _status(code: int, reason: str) -> dict[str, Any]:
        return {
            "apiVersion": "v1",
            "kind": "Status",
            "status": "Failure",
            "message": reason,
            "reason": reason,
            "code": code,
        }


class Firestore(StandIn):
    """Documents by REST, with preconditions."""

    ROOT = "/v1/projects/shop/databases/(default)/documents/"

    def __init__(self) -> None:
        super().__init__()
        self.documents: dict[str, dict[str, Any]] = {}
        self.clock = 0

    def allows(self, headers: Any) -> bool:
        return headers.get("authorization") == "Bearer secret"

    def plain(self, name: str) -> Any:
        """A document without Firestore's types."""
        return self._plain(self.documents[name]["fields"]["document"])

    def _plain(self, value: dict[str, Any]) -> Any:
        [(kind, content)] = value.items()
        match kind:
            case "mapValue":
                return {name: self._plain(one) for name, one in content.get("fields", {}).items()}
            case "arrayValue":
                return [self._plain(one) for one in content.get("values", [])]
            case "integerValue":
                return int(content)
        return content

    def _check(self, value: dict[str, Any], in_array: bool = False) -> None:
        """What Firestore refuses: an array right in an array, integers that are no text."""
        [(kind, content)] = value.items()
        assert kind in {
            *("nullValue", "booleanValue", "integerValue", "doubleValue", "stringValue"),
            *("arrayValue", "mapValue"),
        }
        assert not (kind == "arrayValue" and in_array), "an array in an array"
        assert kind != "integerValue" or isinstance(content, str)
        if kind == "arrayValue":
            for one in content.get("values", []):
                self._check(one, in_array=True)
        if kind == "mapValue":
            for one in content.get("fields", {}).values():
                self._check(one)

    def answer(self, method: str, path: str, query: dict[str, str], body: Any) -> Answer:
        if not path.startswith(self.ROOT):
            return 404, {"error": {"code": 404, "status": "NOT_FOUND"}}
        name = path.removeprefix(self.ROOT)
        if "/" not in name:
            names = sorted(known for known in self.documents if known.startswith(f"{name}/"))
            start = int(base64.b64decode(query.get("pageToken", "")) or 0)
            page = {"documents": [self.documents[known] for known in names[start : start + 1]]}
            if start + 1 < len(names):
                page["nextPageToken"] = base64.b64encode(str(start + 1).encode()).decode()
            return 200, page
        known = self.documents.get(name)
        if method == "PATCH":
            if query.get("currentDocument.exists") == "false" and known:
                return 409, {"error": {"code": 409, "status": "ALREADY_EXISTS", "message": name}}
            time = query.get("currentDocument.updateTime")
            if time and (known is None or known["updateTime"] != time):
                error = {"code": 400, "status": "FAILED_PRECONDITION", "message": name}
                return 400, {"error": error}
            for value in body["fields"].values():
                self._check(value)
            self.clock += 1
            time = f"2026-01-01T00:00:00.{self.clock:06d}Z"
            known = {"name": path, "fields": body["fields"], "updateTime": time}
            self.documents[name] = known
        if known is None:
            return 404, {"error": {"code": 404, "status": "NOT_FOUND", "message": name}}
        return 200, known
