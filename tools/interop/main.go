// The other side of the SDKs' interop test: OTLP received by grpc-go and, through an HTTP/1.1 reverse
// proxy of Go's standard library, by net/http. Decodes with the official definitions and counts.
//
// Connections are short-lived on purpose: the gRPC server says GOAWAY after 300 ms, the proxy closes what
// was idle for 100 ms. Prints its ports as one line of JSON; GET /seen on the plain port tells what came.
package main

import (
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"sync"
	"time"

	metrics "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	traces "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/grpc"
	_ "google.golang.org/grpc/encoding/gzip"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"
)

// What came by one way.
type seen struct {
	Calls    int            `json:"calls"`
	Spans    int            `json:"spans"`
	Unique   int            `json:"unique"`
	Keys     map[string]int `json:"keys"`
	Services map[string]int `json:"services"`
	ids      map[string]bool
}

var (
	lock sync.Mutex
	ways = map[string]*seen{}
)

func take(way, key string, request *traces.ExportTraceServiceRequest) {
	lock.Lock()
	defer lock.Unlock()
	found := ways[way]
	if found == nil {
		found = &seen{Keys: map[string]int{}, Services: map[string]int{}, ids: map[string]bool{}}
		ways[way] = found
	}
	found.Calls++
	found.Keys[key]++
	for _, resource := range request.ResourceSpans {
		for _, attribute := range resource.Resource.Attributes {
			if attribute.Key == "service.name" {
				found.Services[attribute.Value.GetStringValue()]++
			}
		}
		for _, scope := range resource.ScopeSpans {
			for _, span := range scope.Spans {
				found.Spans++
				found.ids[string(span.SpanId)] = true
			}
		}
	}
	found.Unique = len(found.ids)
}

type traceService struct {
	traces.UnimplementedTraceServiceServer
}

func (traceService) Export(ctx context.Context, request *traces.ExportTraceServiceRequest) (*traces.ExportTraceServiceResponse, error) {
	key := ""
	if told, ok := metadata.FromIncomingContext(ctx); ok && len(told.Get("authorization")) > 0 {
		key = told.Get("authorization")[0]
	}
	take("grpc", key, request)
	return &traces.ExportTraceServiceResponse{}, nil
}

type metricsService struct {
	metrics.UnimplementedMetricsServiceServer
}

func (metricsService) Export(context.Context, *metrics.ExportMetricsServiceRequest) (*metrics.ExportMetricsServiceResponse, error) {
	return &metrics.ExportMetricsServiceResponse{}, nil
}

func receive(writer http.ResponseWriter, request *http.Request) {
	var body io.Reader = request.Body
	if request.Header.Get("Content-Encoding") == "gzip" {
		unpacked, err := gzip.NewReader(body)
		if err != nil {
			http.Error(writer, err.Error(), http.StatusBadRequest)
			return
		}
		body = unpacked
	}
	bytes, err := io.ReadAll(body)
	message := &traces.ExportTraceServiceRequest{}
	if err == nil {
		err = proto.Unmarshal(bytes, message)
	}
	if err != nil {
		http.Error(writer, err.Error(), http.StatusBadRequest)
		return
	}
	way := "http"
	if request.Header.Get("X-Forwarded-For") != "" {
		way = "proxy"
	}
	take(way, request.Header.Get("Authorization"), message)
	writer.Header().Set("Content-Type", "application/x-protobuf")
}

func tell(writer http.ResponseWriter, _ *http.Request) {
	lock.Lock()
	defer lock.Unlock()
	must(json.NewEncoder(writer).Encode(ways))
}

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func listen() (net.Listener, int) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(err)
	return listener, listener.Addr().(*net.TCPAddr).Port
}

func main() {
	grpcListener, grpcPort := listen()
	httpListener, httpPort := listen()
	proxyListener, proxyPort := listen()

	server := grpc.NewServer(grpc.KeepaliveParams(keepalive.ServerParameters{
		MaxConnectionAge:      300 * time.Millisecond,
		MaxConnectionAgeGrace: 10 * time.Second,
	}))
	traces.RegisterTraceServiceServer(server, traceService{})
	metrics.RegisterMetricsServiceServer(server, metricsService{})
	go func() { must(server.Serve(grpcListener)) }()

	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/traces", receive)
	mux.HandleFunc("GET /seen", tell)
	go func() { must(http.Serve(httpListener, mux)) }()

	target, err := url.Parse(fmt.Sprintf("http://127.0.0.1:%d", httpPort))
	must(err)
	proxy := &http.Server{
		Handler:     httputil.NewSingleHostReverseProxy(target),
		IdleTimeout: 100 * time.Millisecond,
	}
	go func() { must(proxy.Serve(proxyListener)) }()

	fmt.Printf("{\"grpc\":%d,\"http\":%d,\"proxy\":%d}\n", grpcPort, httpPort, proxyPort)
	// Whoever started it ends it by closing its input.
	_, err = io.Copy(io.Discard, os.Stdin)
	must(err)
}
