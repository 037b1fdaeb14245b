"""The gRPC receiver of the tests, apart from conftest.py for Pythons that grpcio has no wheel for."""

from __future__ import annotations

from concurrent import futures

import grpc
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2 as metrics_pb2
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2_grpc as metrics_grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as service_pb2
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc as service_grpc


class Metrics(metrics_grpc.MetricsServiceServicer):
    def __init__(self, received) -> None:
        self.received = received

    def Export(self, request, context):
        self.received.metrics.append(request)
        return metrics_pb2.ExportMetricsServiceResponse()


class Service(service_grpc.TraceServiceServicer):
    def __init__(self, received) -> None:
        self.received = received

    def Export(self, request, context):
        self.received.calls += 1
        refusal = self.received.answer()
        if refusal is not None:
            if isinstance(refusal, service_pb2.ExportTraceServiceResponse):
                return refusal
            refusal(context)
        self.received.metadata.append(dict(context.invocation_metadata()))
        self.received._arrived.append(request)
        return service_pb2.ExportTraceServiceResponse()


def start(received) -> grpc.Server:
    """Serves on a free port, which it writes into `received.address`."""
    server = grpc.server(futures.ThreadPoolExecutor(2))
    service_grpc.add_TraceServiceServicer_to_server(Service(received), server)
    metrics_grpc.add_MetricsServiceServicer_to_server(Metrics(received), server)
    received.address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    return server
