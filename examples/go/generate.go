package main

// What main.go imports is made of the gateway's protos by `go generate`.
// It needs the gateway's environment (`make setup` in the root) for protoc;
// the plugins are the tools of go.mod.

//go:generate go build -o bin/ google.golang.org/protobuf/cmd/protoc-gen-go google.golang.org/grpc/cmd/protoc-gen-go-grpc
//go:generate ../../.venv/bin/python -m grpc_tools.protoc -I ../../protos --plugin=protoc-gen-go=bin/protoc-gen-go --plugin=protoc-gen-go-grpc=bin/protoc-gen-go-grpc --go_out=. --go_opt=module=ecsgateway,Mbuf/validate/validate.proto=ecsgateway/gen/buf/validate --go-grpc_out=. --go-grpc_opt=module=ecsgateway,Mbuf/validate/validate.proto=ecsgateway/gen/buf/validate ecsgateway/v1/image_share_permission.proto ecsgateway/v1/error_details.proto buf/validate/validate.proto
//go:generate cp ../../src/ecsgateway/clients/service_config.json gen/
