package io.ecsgateway.example;

import com.google.gson.Gson;
import com.google.protobuf.Any;
import com.google.protobuf.InvalidProtocolBufferException;
import com.google.protobuf.Message;
import com.google.protobuf.util.Timestamps;
import com.google.rpc.BadRequest;
import com.google.rpc.ErrorInfo;
import com.google.rpc.RetryInfo;
import io.ecsgateway.v1.ImageSharePermissionPage;
import io.ecsgateway.v1.ImageSharePermissionServiceGrpc;
import io.ecsgateway.v1.ImageSharePermissionServiceGrpc.ImageSharePermissionServiceBlockingStub;
import io.ecsgateway.v1.StreamImageSharePermissionRequest;
import io.ecsgateway.v1.StreamInterruption;
import io.ecsgateway.v1.StreamSummary;
import io.grpc.Context;
import io.grpc.Deadline;
import io.grpc.Grpc;
import io.grpc.InsecureChannelCredentials;
import io.grpc.ManagedChannel;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.protobuf.StatusProto;
import java.io.IOException;
import java.io.InputStreamReader;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.TimeUnit;

/** Prints the accounts that an ECS image is shared with, page by page, through ecsgateway. */
public final class ListShares {
  private static final int MAX_RESUMPTIONS = 5;
  private static final Duration DEFAULT_DELAY = Duration.ofSeconds(1);

  /** What a status and its details say; a status that the client made itself has no details. */
  record Failure(
      Status status, String reason, List<String> fields, Optional<Duration> retryAfter, String resumeToken) {

    static Failure of(StatusRuntimeException error) {
      var details = Optional.ofNullable(StatusProto.fromThrowable(error))
          .map(com.google.rpc.Status::getDetailsList).orElse(List.of());
      return new Failure(
          error.getStatus(),
          find(details, ErrorInfo.class).map(ErrorInfo::getReason).orElse("-"),
          find(details, BadRequest.class).stream().flatMap(bad -> bad.getFieldViolationsList().stream())
              .map(each -> each.getField() + ": " + each.getDescription()).toList(),
          find(details, RetryInfo.class).map(RetryInfo::getRetryDelay)
              .map(delay -> Duration.ofSeconds(delay.getSeconds(), delay.getNanos())),
          find(details, StreamInterruption.class).map(StreamInterruption::getResumeToken).orElse(""));
    }

    private static <T extends Message> Optional<T> find(List<Any> details, Class<T> kind) {
      return details.stream().filter(detail -> detail.is(kind)).findFirst().map(detail -> {
        try {
          return detail.unpack(kind);
        } catch (InvalidProtocolBufferException malformed) {
          throw new IllegalStateException(malformed);
        }
      });
    }

    /** Whether the same call may succeed later. */
    boolean passing() {
      return switch (status.getCode()) {
        case UNAVAILABLE, RESOURCE_EXHAUSTED -> true;
        default -> retryAfter.isPresent();
      };
    }

    /** One line: what scripts read first, then what people read. */
    @Override
    public String toString() {
      var parts = new ArrayList<String>();
      parts.add(Optional.ofNullable(status.getDescription()).orElse(""));
      parts.addAll(fields);
      retryAfter.ifPresent(delay -> parts.add("retry in " + delay.toMillis() + " ms"));
      return status.getCode() + " " + reason + " " + String.join("; ", parts);
    }
  }

  private final ImageSharePermissionServiceBlockingStub stub;
  private final StreamImageSharePermissionRequest.Builder request;

  private ListShares(
      ImageSharePermissionServiceBlockingStub stub, StreamImageSharePermissionRequest.Builder request) {
    this.stub = stub;
    this.request = request;
  }

  /** Prints the whole list; resumes it where it breaks, within the deadline. */
  private StreamSummary list(Deadline deadline) throws InterruptedException {
    for (int resumptions = 0; ; resumptions++) {
      try {
        return stream(deadline);
      } catch (StatusRuntimeException error) {
        var failure = Failure.of(error);
        var delay = failure.retryAfter().orElse(DEFAULT_DELAY);
        if (resumptions == MAX_RESUMPTIONS || deadline.timeRemaining(TimeUnit.MILLISECONDS) <= delay.toMillis()) {
          throw error;
        }
        if (failure.reason().equals("LISTING_CHANGED")) {
          System.out.println("restart LISTING_CHANGED: the lines above are void");
          request.clearResumeToken();
        } else if (!request.getResumeToken().isEmpty() && failure.passing()) {
          System.err.println("resume " + failure);
          if (!failure.resumeToken().isEmpty()) {
            request.setResumeToken(failure.resumeToken());
          }
        } else {
          throw error;
        }
        Thread.sleep(delay.toMillis());
      }
    }
  }

  /** Prints the pages of one call, and keeps in the request where to continue after the last of them. */
  private StreamSummary stream(Deadline deadline) {
    var answers = stub.withDeadline(deadline).streamImageSharePermission(request.build());
    Optional<StreamSummary> summary = Optional.empty();
    while (answers.hasNext()) {
      var answer = answers.next();
      show(answer.getPage());
      request.setResumeToken(answer.getResumeToken());
      summary = answer.hasSummary() ? Optional.of(answer.getSummary()) : Optional.empty();
    }
    return summary.orElseThrow(
        () -> Status.DATA_LOSS.withDescription("the stream ended without its summary").asRuntimeException());
  }

  private static void show(ImageSharePermissionPage page) {
    page.getShareGroupsList().forEach(group -> System.out.println("group " + group.getGroup()));
    for (var account : page.getAccountsList()) {
      var shared = account.hasSharedTime() ? Timestamps.toString(account.getSharedTime()) : "-";
      System.out.println("account " + account.getAliyunId() + " " + shared);
    }
  }

  private static Map<String, ?> serviceConfig() throws IOException {
    try (var json = new InputStreamReader(ListShares.class.getResourceAsStream("/service_config.json"))) {
      @SuppressWarnings("unchecked")
      Map<String, ?> config = new Gson().fromJson(json, Map.class);
      return config;
    }
  }

  private static Map<String, String> options(String[] args) {
    var options = new HashMap<>(Map.of("--timeout", "60", "--page-size", "0"));
    for (int i = 0; i + 1 < args.length; i += 2) {
      options.put(args[i], args[i + 1]);
    }
    if (!options.keySet().equals(
        java.util.Set.of("--target", "--region", "--image", "--timeout", "--page-size"))) {
      System.err.println("usage: --target HOST:PORT --region R --image I [--timeout SECONDS] [--page-size N]");
      System.exit(2);
    }
    return options;
  }

  /** Runs the command. */
  public static void main(String[] args) throws Exception {
    var options = options(args);
    ManagedChannel channel =
        Grpc.newChannelBuilder(options.get("--target"), InsecureChannelCredentials.create())
            .defaultServiceConfig(serviceConfig())
            .build();
    var request = StreamImageSharePermissionRequest.newBuilder()
        .setRegionId(options.get("--region"))
        .setImageId(options.get("--image"))
        .setPageSize(Integer.parseInt(options.get("--page-size")));
    var listing = new ListShares(ImageSharePermissionServiceGrpc.newBlockingStub(channel), request);
    var timeout = Math.round(Double.parseDouble(options.get("--timeout")) * 1000);

    Context.CancellableContext call = Context.current().withCancellation();
    Runtime.getRuntime().addShutdownHook(new Thread(() -> {
      if (call.cancel(null)) { // the call was still running
        System.err.println("error CANCELLED - interrupted");
      }
      channel.shutdown();
      try {
        channel.awaitTermination(5, TimeUnit.SECONDS);
      } catch (InterruptedException ignored) {
        channel.shutdownNow();
      }
    }));

    int status = 0;
    try {
      var summary = call.call(() -> listing.list(Deadline.after(timeout, TimeUnit.MILLISECONDS)));
      call.cancel(null);
      System.out.printf(
          "summary pages=%d accounts=%d duplicates=%d consistency=%s%n", summary.getPageCount(),
          summary.getAccountCount(), summary.getDuplicateCount(), summary.getConsistency());
    } catch (StatusRuntimeException error) {
      if (call.cancel(null)) { // not the interruption's
        System.err.println("error " + Failure.of(error));
        status = 1;
      }
    }
    System.exit(status);
  }
}
