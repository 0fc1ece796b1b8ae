"""An OpenTelemetry receiver: takes spans by OTLP over gRPC and over HTTP, as a collector does.

For a gateway that is looked at by hand, it prints each span as a line of JSON:

    target/venv/bin/python tests/observability/receiver.py
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import grpc
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import (
    TraceServiceServicer,
    add_TraceServiceServicer_to_server,
)
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.trace.v1 import trace_pb2

# Where exporters look for a collector unless they are told.
GRPC_PORT, HTTP_PORT = 4317, 4318


@dataclass(frozen=True)
class Span:
    """A span; ids are hexadecimal."""

    service: str
    name: str
    # `server` for a request that came in, `client` for a try at an upstream.
    kind: str
    trace_id: str
    span_id: str
    # Empty where the trace begins.
    parent_id: str
    # W3C's tracestate.
    state: str
    is_error: bool
    attributes: dict[str, Any]

    def decision(self) -> dict[str, Any]:
        """The attributes of tse-route, without its name."""
        start = "tse_route."
        return {
            name.removeprefix(start): value
            for name, value in self.attributes.items()
            if name.startswith(start)
        }


def read(request: ExportTraceServiceRequest) -> list[Span]:
    """The spans of a message."""
    return [
        Span(
            service=_attributes(group.resource.attributes).get("service.name", ""),
            name=span.name,
            kind=trace_pb2.Span.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_").lower(),
            trace_id=span.trace_id.hex(),
            span_id=span.span_id.hex(),
            parent_id=span.parent_span_id.hex(),
            state=span.trace_state,
            is_error=span.status.code == trace_pb2.Status.STATUS_CODE_ERROR,
            attributes=_attributes(span.attributes),
        )
        for group in request.resource_spans
        for scope in group.scope_spans
        for span in scope.spans
    ]


def _attributes(pairs: list[KeyValue]) -> dict[str, Any]:
    # Of scalars only: nobody here sends lists.
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in pairs}


class Receiver(TraceServiceServicer):
    """A receiver on loopback, as a context manager; it keeps all spans that came."""

    def __init__(
        self,
        grpc_port: int = 0,
        http_port: int = 0,
        on_span: Callable[[Span], None] = lambda span: None,
    ):
        self._spans: list[Span] = []
        self._on_span = on_span
        self._grpc = grpc.server(ThreadPoolExecutor(max_workers=4))
        add_TraceServiceServicer_to_server(self, self._grpc)
        self.grpc_port = self._grpc.add_insecure_port(f"127.0.0.1:{grpc_port}")
        self._http = ThreadingHTTPServer(("127.0.0.1", http_port), self._handler())
        self.http_port = self._http.server_address[1]

    def __enter__(self) -> Receiver:
        self._grpc.start()
        threading.Thread(target=self._http.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._grpc.stop(None).wait()

    def spans(self, trace_id: str, kind: str = "server") -> list[Span]:
        """The spans of a trace, as far as they have come."""
        return [span for span in self._spans if (span.trace_id, span.kind) == (trace_id, kind)]

    def Export(  # noqa: N802
        self, request: ExportTraceServiceRequest, _: grpc.ServicerContext
    ) -> ExportTraceServiceResponse:
        """OTLP over gRPC."""
        self._take(request)
        return ExportTraceServiceResponse()

    def _take(self, request: ExportTraceServiceRequest) -> None:
        for span in read(request):
            self._spans.append(span)
            self._on_span(span)

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        """OTLP over HTTP, in its binary form."""
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:  # noqa: N802
                body = self._body()
                if self.path != "/v1/traces":
                    return self._answer(404)
                try:
                    receiver._take(ExportTraceServiceRequest.FromString(body))
                except DecodeError:
                    return self._answer(400)
                return self._answer(200)

            def _body(self) -> bytes:
                if self.headers.get("transfer-encoding") != "chunked":
                    return self.rfile.read(int(self.headers.get("content-length", 0)))
                body = b""
                while size := int(self.rfile.readline(), 16):
                    body += self.rfile.read(size)
                    self.rfile.readline()
                self.rfile.readline()
                return body

            def _answer(self, status: int) -> None:
                self.send_response(status)
                self.send_header("content-type", "application/x-protobuf")
                self.send_header("content-length", "0")  # an empty ExportTraceServiceResponse
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        return Handler


def main() -> None:
    """Prints spans until it is interrupted."""
    parser = argparse.ArgumentParser(description="prints the spans that it is sent, as JSON")
    parser.add_argument("--grpc", type=int, default=GRPC_PORT, metavar="PORT")
    parser.add_argument("--http", type=int, default=HTTP_PORT, metavar="PORT")
    options = parser.parse_args()

    def show(span: Span) -> None:
        print(json.dumps(dataclasses.asdict(span)), flush=True)

    with Receiver(options.grpc, options.http, show):
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            pass


if __name__ == "__main__":
    main()
