"""Prints OpenTelemetry's official protobuf definitions (package opentelemetry-proto) as base64 of a
FileDescriptorSet, dependencies first, so that the tests decode with them and not with our own reading.
"""

import base64

from google.protobuf import descriptor_pb2
from google.rpc import error_details_pb2, status_pb2
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2

files = descriptor_pb2.FileDescriptorSet()
seen = set()


def add(descriptor):
    if descriptor.name in seen:
        return
    seen.add(descriptor.name)
    for dependency in descriptor.dependencies:
        add(dependency)
    descriptor.CopyToProto(files.file.add())


for module in (trace_service_pb2, metrics_service_pb2, status_pb2, error_details_pb2):
    add(module.DESCRIPTOR)
print(base64.b64encode(files.SerializeToString()).decode())
