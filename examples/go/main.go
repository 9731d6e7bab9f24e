// Command list-shares prints the accounts that an ECS image is shared with,
// page by page, through ecsgateway.
package main

import (
	"bufio"
	"context"
	_ "embed"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"time"

	"google.golang.org/genproto/googleapis/rpc/code"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	_ "google.golang.org/grpc/health" // the service config's health check
	"google.golang.org/grpc/status"

	pb "ecsgateway/gen/ecsgateway/v1"
)

//go:embed gen/service_config.json
var serviceConfig string

const (
	maxResumptions = 5
	defaultDelay   = time.Second
)

// failure is what a status and its details say.
// A status that the client made itself has no details.
type failure struct {
	status      *status.Status
	reason      string
	fields      []string
	retryAfter  *time.Duration
	resumeToken string
}

func failureOf(err error) failure {
	f := failure{status: status.Convert(err), reason: "-"}
	for _, detail := range f.status.Details() {
		switch d := detail.(type) {
		case *errdetails.ErrorInfo:
			f.reason = d.GetReason()
		case *errdetails.RetryInfo:
			delay := d.GetRetryDelay().AsDuration()
			f.retryAfter = &delay
		case *errdetails.BadRequest:
			for _, v := range d.GetFieldViolations() {
				f.fields = append(f.fields, v.GetField()+": "+v.GetDescription())
			}
		case *pb.StreamInterruption:
			f.resumeToken = d.GetResumeToken()
		}
	}
	return f
}

// passing tells whether the same call may succeed later.
func (f failure) passing() bool {
	unavailable := f.status.Code() == codes.Unavailable || f.status.Code() == codes.ResourceExhausted
	return unavailable || f.retryAfter != nil
}

func (f failure) delay() time.Duration {
	if f.retryAfter == nil {
		return defaultDelay
	}
	return *f.retryAfter
}

// String is one line: what scripts read first, then what people read.
func (f failure) String() string {
	parts := append([]string{f.status.Message()}, f.fields...)
	if f.retryAfter != nil {
		parts = append(parts, fmt.Sprintf("retry in %d ms", f.retryAfter.Milliseconds()))
	}
	return fmt.Sprintf("%s %s %s", code.Code(f.status.Code()), f.reason, strings.Join(parts, "; "))
}

// listShares prints the whole list. Where it breaks, it is resumed, as long as
// the context allows.
func listShares(ctx context.Context, client pb.ImageSharePermissionServiceClient, request *pb.StreamImageSharePermissionRequest) (*pb.StreamSummary, error) {
	for resumptions := 0; ; resumptions++ {
		summary, err := stream(ctx, client, request)
		if err == nil {
			return summary, nil
		}
		failed := failureOf(err)
		deadline, _ := ctx.Deadline()
		if resumptions == maxResumptions || time.Until(deadline) <= failed.delay() {
			return nil, err
		}
		switch {
		case failed.reason == "LISTING_CHANGED":
			fmt.Println("restart LISTING_CHANGED: the lines above are void")
			request.ResumeToken = ""
		case request.ResumeToken != "" && failed.passing():
			fmt.Fprintln(os.Stderr, "resume", failed)
			if failed.resumeToken != "" {
				request.ResumeToken = failed.resumeToken
			}
		default:
			return nil, err
		}
		select {
		case <-time.After(failed.delay()):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// stream prints the pages of one call, and keeps in the request where to
// continue after the last of them.
func stream(ctx context.Context, client pb.ImageSharePermissionServiceClient, request *pb.StreamImageSharePermissionRequest) (*pb.StreamSummary, error) {
	pages, err := client.StreamImageSharePermission(ctx, request)
	if err != nil {
		return nil, err
	}
	var summary *pb.StreamSummary
	for {
		answer, err := pages.Recv()
		if errors.Is(err, io.EOF) && summary == nil {
			return nil, status.Error(codes.DataLoss, "the stream ended without its summary")
		}
		if errors.Is(err, io.EOF) {
			return summary, nil
		}
		if err != nil {
			return nil, err
		}
		show(answer.GetPage())
		request.ResumeToken = answer.GetResumeToken()
		summary = answer.GetSummary()
	}
}

// show prints a page as soon as it is there.
func show(page *pb.ImageSharePermissionPage) {
	out := bufio.NewWriter(os.Stdout)
	defer out.Flush()
	for _, group := range page.GetShareGroups() {
		fmt.Fprintln(out, "group", group.GetGroup())
	}
	for _, account := range page.GetAccounts() {
		shared := "-"
		if account.GetSharedTime() != nil {
			shared = account.GetSharedTime().AsTime().Format(time.RFC3339Nano)
		}
		fmt.Fprintln(out, "account", account.GetAliyunId(), shared)
	}
}

func run(ctx context.Context, target string, request *pb.StreamImageSharePermissionRequest) error {
	connection, err := grpc.NewClient(target,
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultServiceConfig(serviceConfig))
	if err != nil {
		return err
	}
	defer connection.Close()
	summary, err := listShares(ctx, pb.NewImageSharePermissionServiceClient(connection), request)
	if err != nil {
		return err
	}
	fmt.Printf("summary pages=%d accounts=%d duplicates=%d consistency=%s\n", summary.GetPageCount(),
		summary.GetAccountCount(), summary.GetDuplicateCount(), summary.GetConsistency())
	return nil
}

func main() {
	target := flag.String("target", "", "`HOST:PORT` of the gateway (required)")
	region := flag.String("region", "", "the image's region (required)")
	image := flag.String("image", "", "the image's id (required)")
	timeout := flag.Float64("timeout", 60, "`SECONDS` for the whole list")
	pageSize := flag.Int("page-size", 0, "accounts per upstream call")
	flag.Parse()
	if *target == "" || *region == "" || *image == "" {
		flag.Usage()
		os.Exit(2)
	}

	interrupted, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	ctx, cancel := context.WithTimeout(interrupted, time.Duration(*timeout*float64(time.Second)))
	defer cancel()

	err := run(ctx, *target, &pb.StreamImageSharePermissionRequest{
		RegionId: *region, ImageId: *image, PageSize: int32(*pageSize),
	})
	switch {
	case interrupted.Err() != nil:
		fmt.Fprintln(os.Stderr, "error CANCELLED - interrupted")
		os.Exit(130)
	case err != nil:
		fmt.Fprintln(os.Stderr, "error", failureOf(err))
		os.Exit(1)
	}
}
