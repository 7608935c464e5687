"""Receives OTLP over gRPC and HTTP, and Zipkin's JSON, and prints what comes as JSON lines.

    python3 otlp_receiver.py [--grpc PORT] [--http PORT] [--certificate PEM --private-key PEM]

Port 0, which is the default, is any. The first line says where it listens: {"grpc": 40001, "http": 40002}. Then a line for
each span, log record and point of a metric: `signal` says which it is (`span`, `log`, `metric`), `protocol` how it came
(`grpc`, `http`, `zipkin`), and `headers` the fields of the request whose names begin with `x-`. It ends with its standard input, so that it never outlives whoever started it.

The messages are those of OpenTelemetry's own packages for Python (opentelemetry-proto, grpcio).
"""

import argparse
import gzip
import http.server
import json
import ssl
import sys
import threading
from concurrent import futures

import grpc
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2, logs_service_pb2_grpc
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2, metrics_service_pb2_grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc
from opentelemetry.proto.metrics.v1 import metrics_pb2
from opentelemetry.proto.trace.v1 import trace_pb2

printing = threading.Lock()
# The fields of the request that is being handled.
current = threading.local()


def begin(fields):
    """Notes what a request says of itself, for the lines of what is in it."""
    current.headers = {name.lower(): value for name, value in fields if name.lower().startswith("x-")}


def show(**line):
    """Prints one line, whole."""
    if "signal" in line:
        line["headers"] = current.headers
    with printing:
        print(json.dumps(line, ensure_ascii=False), flush=True)


def value_of(value):
    """What an `AnyValue` holds."""
    kind = value.WhichOneof("value")
    if kind is None:
        return None
    if kind == "array_value":
        return [value_of(item) for item in value.array_value.values]
    if kind == "kvlist_value":
        return attributes_of(value.kvlist_value.values)
    if kind == "bytes_value":
        return value.bytes_value.hex()
    return getattr(value, kind)


def attributes_of(attributes):
    return {attribute.key: value_of(attribute.value) for attribute in attributes}


def origin_of(resource, scope):
    """What is the same for all that came together."""
    return {
        "resource": attributes_of(resource.resource.attributes),
        "scope": {"name": scope.scope.name, "version": scope.scope.version},
    }


def show_spans(protocol, request):
    for resource in request.resource_spans:
        for scope in resource.scope_spans:
            for span in scope.spans:
                show(
                    signal="span",
                    protocol=protocol,
                    trace_id=span.trace_id.hex(),
                    span_id=span.span_id.hex(),
                    parent_span_id=span.parent_span_id.hex(),
                    trace_state=span.trace_state,
                    flags=span.flags,
                    name=span.name,
                    kind=trace_pb2.Span.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_"),
                    start=span.start_time_unix_nano,
                    end=span.end_time_unix_nano,
                    attributes=attributes_of(span.attributes),
                    dropped_attributes=span.dropped_attributes_count,
                    events=[
                        {
                            "time": event.time_unix_nano,
                            "name": event.name,
                            "attributes": attributes_of(event.attributes),
                        }
                        for event in span.events
                    ],
                    dropped_events=span.dropped_events_count,
                    status={
                        "code": trace_pb2.Status.StatusCode.Name(span.status.code).removeprefix("STATUS_CODE_"),
                        "message": span.status.message,
                    },
                    **origin_of(resource, scope),
                )


def show_logs(protocol, request):
    for resource in request.resource_logs:
        for scope in resource.scope_logs:
            for record in scope.log_records:
                show(
                    signal="log",
                    protocol=protocol,
                    time=record.time_unix_nano,
                    event_name=record.event_name,
                    severity=record.severity_text,
                    severity_number=record.severity_number,
                    body=value_of(record.body),
                    attributes=attributes_of(record.attributes),
                    trace_id=record.trace_id.hex(),
                    span_id=record.span_id.hex(),
                    flags=record.flags,
                    **origin_of(resource, scope),
                )


def exemplars_of(point):
    return [
        {
            "time": exemplar.time_unix_nano,
            "value": getattr(exemplar, exemplar.WhichOneof("value") or "as_double"),
            "trace_id": exemplar.trace_id.hex(),
            "span_id": exemplar.span_id.hex(),
        }
        for exemplar in point.exemplars
    ]


def point_of(kind, point):
    """What a point says, by the kind of its metric."""
    if kind in ("sum", "gauge"):
        return {"value": getattr(point, point.WhichOneof("value") or "as_int")}
    said = {"count": point.count, "sum": point.sum}
    if kind == "histogram":
        return said | {"bounds": list(point.explicit_bounds), "buckets": list(point.bucket_counts)}
    if kind == "exponential_histogram":
        buckets = lambda side: {"offset": side.offset, "counts": list(side.bucket_counts)}
        return said | {
            "scale": point.scale,
            "zero_count": point.zero_count,
            "zero_threshold": point.zero_threshold,
            "positive": buckets(point.positive),
            "negative": buckets(point.negative),
        }
    return said


def show_metrics(protocol, request):
    for resource in request.resource_metrics:
        for scope in resource.scope_metrics:
            for metric in scope.metrics:
                kind = metric.WhichOneof("data")
                data = getattr(metric, kind)
                temporality = getattr(data, "aggregation_temporality", 0)
                name = metrics_pb2.AggregationTemporality.Name(temporality)
                for point in data.data_points:
                    show(
                        signal="metric",
                        protocol=protocol,
                        name=metric.name,
                        description=metric.description,
                        unit=metric.unit,
                        kind=kind,
                        monotonic=getattr(data, "is_monotonic", False),
                        temporality=name.removeprefix("AGGREGATION_TEMPORALITY_"),
                        attributes=attributes_of(point.attributes),
                        start=point.start_time_unix_nano,
                        time=point.time_unix_nano,
                        exemplars=exemplars_of(point),
                        **point_of(kind, point),
                        **origin_of(resource, scope),
                    )


class Traces(trace_service_pb2_grpc.TraceServiceServicer):
    def Export(self, request, context):
        begin(context.invocation_metadata())
        show_spans("grpc", request)
        return trace_service_pb2.ExportTraceServiceResponse()


class Logs(logs_service_pb2_grpc.LogsServiceServicer):
    def Export(self, request, context):
        begin(context.invocation_metadata())
        show_logs("grpc", request)
        return logs_service_pb2.ExportLogsServiceResponse()


class Metrics(metrics_service_pb2_grpc.MetricsServiceServicer):
    def Export(self, request, context):
        begin(context.invocation_metadata())
        show_metrics("grpc", request)
        return metrics_service_pb2.ExportMetricsServiceResponse()


# By the end of the path, for there may be a base before it.
OVER_HTTP = {
    "/v1/traces": (
        trace_service_pb2.ExportTraceServiceRequest,
        trace_service_pb2.ExportTraceServiceResponse,
        show_spans,
    ),
    "/v1/logs": (logs_service_pb2.ExportLogsServiceRequest, logs_service_pb2.ExportLogsServiceResponse, show_logs),
    "/v1/metrics": (
        metrics_service_pb2.ExportMetricsServiceRequest,
        metrics_service_pb2.ExportMetricsServiceResponse,
        show_metrics,
    ),
}


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        begin(self.headers.items())
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        if self.headers.get("content-encoding") == "gzip":
            body = gzip.decompress(body)
        if self.path == "/api/v2/spans":
            return self.zipkin(body)
        known = [of for suffix, of in OVER_HTTP.items() if self.path.endswith(suffix)]
        if not known:
            return self.answer(404)
        if self.headers.get("content-type") != "application/x-protobuf":
            return self.answer(415)
        request, response, show_all = known[0]
        try:
            message = request.FromString(body)
        except DecodeError:
            return self.answer(400)
        show_all("http", message)
        self.answer(200, response().SerializeToString(), "application/x-protobuf")

    def zipkin(self, body):
        try:
            spans = json.loads(body)
        except ValueError:
            return self.answer(400)
        for span in spans:
            show(signal="span", protocol="zipkin", **span)
        self.answer(202)

    def answer(self, status, body=b"", media_type="text/plain"):
        self.send_response(status)
        self.send_header("content-type", media_type)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        """Standard error is for what goes wrong."""


def serve_grpc(port, pair):
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=4), compression=grpc.Compression.Gzip)
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(Traces(), server)
    logs_service_pb2_grpc.add_LogsServiceServicer_to_server(Logs(), server)
    metrics_service_pb2_grpc.add_MetricsServiceServicer_to_server(Metrics(), server)
    address = f"127.0.0.1:{port}"
    if pair:
        certificate, key = (open(path, "rb").read() for path in pair)
        port = server.add_secure_port(address, grpc.ssl_server_credentials([(key, certificate)]))
    else:
        port = server.add_insecure_port(address)
    server.start()
    return server, port


def serve_http(port, pair):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
    server.daemon_threads = True
    if pair:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*pair)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server.server_address[1]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--grpc", type=int, default=0, metavar="PORT")
    parser.add_argument("--http", type=int, default=0, metavar="PORT")
    parser.add_argument("--certificate", metavar="PEM")
    parser.add_argument("--private-key", metavar="PEM")
    options = parser.parse_args()
    pair = (options.certificate, options.private_key) if options.certificate else None
    server, grpc_port = serve_grpc(options.grpc, pair)
    http_port = serve_http(options.http, pair)
    show(grpc=grpc_port, http=http_port)
    sys.stdin.read()
    server.stop(None)


if __name__ == "__main__":
    main()
