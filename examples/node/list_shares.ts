/** Prints the accounts that an ECS image is shared with, page by page, through ecsgateway. */

import { readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import { credentials, Metadata, status, type ServiceError } from "@grpc/grpc-js";
import { StreamInterruption } from "./gen/ecsgateway/v1/error_details.js";
import {
  type ImageSharePermissionPage,
  ImageSharePermissionServiceClient,
  StreamImageSharePermissionRequest,
  type StreamSummary,
} from "./gen/ecsgateway/v1/image_share_permission.js";
import { BadRequest, ErrorInfo, RetryInfo } from "./gen/google/rpc/error_details.js";
import { Status } from "./gen/google/rpc/status.js";

const SERVICE_CONFIG = readFileSync(new URL("service_config.json", import.meta.url), "utf8");
const MAX_RESUMPTIONS = 5;
const DEFAULT_DELAY = 1000;

/** What a status and its details say; a status that the client made itself has no details. */
class Failure {
  readonly reason: string;
  readonly fields: string[];
  readonly retryAfter: number | undefined;
  readonly resumeToken: string;

  constructor(private readonly error: ServiceError) {
    const [trailer] = error.metadata?.get("grpc-status-details-bin") ?? [];
    const { details } = trailer instanceof Buffer ? Status.decode(trailer) : Status.create();
    const find = <T>(name: string, kind: { decode(bytes: Uint8Array): T }): T | undefined => {
      const detail = details.find(({ typeUrl }) => typeUrl.endsWith(`/${name}`));
      return detail && kind.decode(detail.value);
    };
    const delay = find("google.rpc.RetryInfo", RetryInfo)?.retryDelay;
    this.reason = find("google.rpc.ErrorInfo", ErrorInfo)?.reason ?? "-";
    this.fields = (find("google.rpc.BadRequest", BadRequest)?.fieldViolations ?? []).map(
      ({ field, description }) => `${field}: ${description}`,
    );
    this.retryAfter = delay && delay.seconds * 1000 + delay.nanos / 1e6;
    this.resumeToken = find("ecsgateway.v1.StreamInterruption", StreamInterruption)?.resumeToken ?? "";
  }

  /** Whether the same call may succeed later. */
  get passing(): boolean {
    const unavailable = [status.UNAVAILABLE, status.RESOURCE_EXHAUSTED].includes(this.error.code);
    return unavailable || this.retryAfter !== undefined;
  }

  /** One line: what scripts read first, then what people read. */
  toString(): string {
    const parts = [this.error.details, ...this.fields];
    if (this.retryAfter !== undefined) parts.push(`retry in ${Math.trunc(this.retryAfter)} ms`);
    return `${status[this.error.code]} ${this.reason} ${parts.join("; ")}`;
  }
}

/** Prints the whole list; resumes it where it breaks, within the deadline. */
async function listShares(
  client: ImageSharePermissionServiceClient,
  request: StreamImageSharePermissionRequest,
  deadline: number,
  interrupted: AbortSignal,
): Promise<StreamSummary> {
  for (let resumptions = 0; ; resumptions++) {
    const call = client.streamImageSharePermission(request, new Metadata(), { deadline });
    const cancel = () => call.cancel();
    interrupted.addEventListener("abort", cancel);
    let delay = DEFAULT_DELAY;
    try {
      let summary: StreamSummary | undefined;
      for await (const answer of call) {
        show(answer.page);
        request.resumeToken = answer.resumeToken;
        summary = answer.summary;
      }
      if (summary) return summary;
      const details = "the stream ended without its summary";
      throw Object.assign(new Error(details), { code: status.DATA_LOSS, details });
    } catch (error) {
      const failure = new Failure(error as ServiceError);
      delay = failure.retryAfter ?? DEFAULT_DELAY;
      if (resumptions === MAX_RESUMPTIONS || Date.now() + delay >= deadline) throw error;
      if (failure.reason === "LISTING_CHANGED") {
        console.log("restart LISTING_CHANGED: the lines above are void");
        request.resumeToken = "";
      } else if (request.resumeToken && failure.passing) {
        console.error(`resume ${failure}`);
        request.resumeToken = failure.resumeToken || request.resumeToken;
      } else {
        throw error;
      }
    } finally {
      interrupted.removeEventListener("abort", cancel);
    }
    await sleep(delay, undefined, { signal: interrupted });
  }
}

/** Prints a page as soon as it is there. */
function show(page: ImageSharePermissionPage | undefined): void {
  for (const { group } of page?.shareGroups ?? []) console.log(`group ${group}`);
  for (const { aliyunId, sharedTime } of page?.accounts ?? []) {
    console.log(`account ${aliyunId} ${sharedTime?.toISOString().replace(".000Z", "Z") ?? "-"}`);
  }
}

const { values: options } = parseArgs({
  options: {
    target: { type: "string" },
    region: { type: "string" },
    image: { type: "string" },
    timeout: { type: "string", default: "60" },
    "page-size": { type: "string", default: "0" },
  },
});
const { target, region, image } = options;
if (!target || !region || !image) {
  console.error("usage: --target HOST:PORT --region R --image I [--timeout SECONDS] [--page-size N]");
  process.exit(2);
}

const interruption = new AbortController();
process.once("SIGINT", () => interruption.abort());
const client = new ImageSharePermissionServiceClient(target, credentials.createInsecure(), {
  "grpc.service_config": SERVICE_CONFIG,
});
const request = StreamImageSharePermissionRequest.create({
  regionId: region,
  imageId: image,
  pageSize: Number(options["page-size"]),
});
try {
  const deadline = Date.now() + Number(options.timeout) * 1000;
  const summary = await listShares(client, request, deadline, interruption.signal);
  console.log(
    `summary pages=${summary.pageCount} accounts=${summary.accountCount}` +
      ` duplicates=${summary.duplicateCount} consistency=${summary.consistency}`,
  );
} catch (error) {
  const { aborted } = interruption.signal;
  console.error(aborted ? "error CANCELLED - interrupted" : `error ${new Failure(error as ServiceError)}`);
  process.exitCode = aborted ? 130 : 1;
} finally {
  client.close();
}
