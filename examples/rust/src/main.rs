//! Prints the accounts that an ECS image is shared with, page by page, through ecsgateway.

mod service_config;

use std::error::Error;
use std::fmt;
use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use prost::Message;
use tokio::time::{Instant, sleep, timeout_at};
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status, Streaming};
use tonic_types::StatusExt;

use proto::image_share_permission_service_client::ImageSharePermissionServiceClient;
use proto::{
    Consistency, ImageSharePermissionPage, StreamImageSharePermissionRequest,
    StreamImageSharePermissionResponse, StreamInterruption, StreamSummary,
};
use service_config::{RetryPolicy, code_name};

#[allow(dead_code)] // not every message is of use here
mod proto {
    tonic::include_proto!("ecsgateway.v1");
}

const MAX_RESUMPTIONS: u32 = 5;
const DEFAULT_DELAY: Duration = Duration::from_secs(1);

/// Prints the accounts that an ECS image is shared with.
#[derive(Parser)]
struct Options {
    /// HOST:PORT of the gateway
    #[arg(long)]
    target: String,
    #[arg(long)]
    region: String,
    #[arg(long)]
    image: String,
    /// Seconds for the whole list
    #[arg(long, default_value_t = 60.0)]
    timeout: f64,
    /// Accounts per upstream call
    #[arg(long, default_value_t = 0)]
    page_size: i32,
}

/// What a status and its details say; a status that the client made itself has no details.
struct Failure {
    code: Code,
    disconnected: bool,
    reason: String,
    retry_after: Option<Duration>,
    resume_token: String,
    line: String,
}

impl From<&Status> for Failure {
    fn from(status: &Status) -> Self {
        let details = status.get_error_details();
        let reason = details.error_info().map_or("-", |info| &info.reason).to_owned();
        let retry_after = details.retry_info().and_then(|info| info.retry_delay);
        let mut parts = vec![status.message().to_owned()];
        for each in details.bad_request().iter().flat_map(|bad| &bad.field_violations) {
            parts.push(format!("{}: {}", each.field, each.description));
        }
        if let Some(delay) = retry_after {
            parts.push(format!("retry in {} ms", delay.as_millis()));
        }
        Self {
            code: status.code(),
            disconnected: status.source().is_some(), // tonic calls it UNKNOWN
            retry_after,
            resume_token: interruption(status).resume_token,
            line: format!("{} {reason} {}", code_name(status), parts.join("; ")),
            reason,
        }
    }
}

impl Failure {
    /// Whether the same call may succeed later.
    fn passing(&self) -> bool {
        let unavailable = matches!(self.code, Code::Unavailable | Code::ResourceExhausted);
        unavailable || self.disconnected || self.retry_after.is_some()
    }
}

/// One line: what scripts read first, then what people read.
impl fmt::Display for Failure {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.line)
    }
}

/// Returns the gateway's own detail, which tonic-types does not know; an empty one if there is none.
fn interruption(status: &Status) -> StreamInterruption {
    let details = tonic_types::Status::decode(status.details())
        .unwrap_or_default()
        .details;
    let detail = details
        .iter()
        .find(|each| each.type_url.ends_with("/ecsgateway.v1.StreamInterruption"));
    detail
        .and_then(|each| StreamInterruption::decode(&*each.value).ok())
        .unwrap_or_default()
}

/// A client of the gateway, and the time until which it may work.
struct Lister {
    client: ImageSharePermissionServiceClient<Channel>,
    policy: RetryPolicy,
    deadline: Instant,
}

impl Lister {
    /// Prints the whole list; resumes it where it breaks.
    async fn list(
        &mut self,
        mut request: StreamImageSharePermissionRequest,
    ) -> Result<StreamSummary, Status> {
        for resumptions in 0.. {
            let error = match self.stream(&mut request).await {
                Ok(summary) => return Ok(summary),
                Err(error) => error,
            };
            let failure = Failure::from(&error);
            let delay = failure.retry_after.unwrap_or(DEFAULT_DELAY);
            if resumptions == MAX_RESUMPTIONS || Instant::now() + delay >= self.deadline {
                return Err(error);
            }
            if failure.reason == "LISTING_CHANGED" {
                println!("restart LISTING_CHANGED: the lines above are void");
                request.resume_token.clear();
            } else if !request.resume_token.is_empty() && failure.passing() {
                eprintln!("resume {failure}");
                if !failure.resume_token.is_empty() {
                    request.resume_token = failure.resume_token;
                }
            } else {
                return Err(error);
            }
            sleep(delay).await;
        }
        unreachable!("resumptions are bounded")
    }

    /// Prints the pages of one call, and keeps in the request where to continue after the last of them.
    async fn stream(
        &mut self,
        request: &mut StreamImageSharePermissionRequest,
    ) -> Result<StreamSummary, Status> {
        let (mut answers, mut next) = self.open(request).await?;
        let mut summary = None;
        while let Some(answer) = next {
            show(&answer.page.unwrap_or_default())?;
            request.resume_token = answer.resume_token;
            summary = answer.summary;
            next = answers.message().await?;
        }
        summary.ok_or_else(|| Status::data_loss("the stream ended without its summary"))
    }

    /// Makes the call until it brings a first message, as often as the policy says.
    async fn open(
        &mut self,
        request: &StreamImageSharePermissionRequest,
    ) -> Result<
        (
            Streaming<StreamImageSharePermissionResponse>,
            Option<StreamImageSharePermissionResponse>,
        ),
        Status,
    > {
        for attempt in 1.. {
            let mut call = Request::new(request.clone());
            call.set_timeout(self.deadline - Instant::now());
            let opened = async {
                let mut answers = self
                    .client
                    .stream_image_share_permission(call)
                    .await?
                    .into_inner();
                let first = answers.message().await?;
                Ok((answers, first))
            };
            match opened.await {
                Err(error) => match self.policy.delay(&error, attempt) {
                    Some(delay) => sleep(delay).await,
                    None => return Err(error),
                },
                opened => return opened,
            }
        }
        unreachable!("the policy bounds the attempts")
    }
}

/// Prints a page as soon as it is there.
fn show(page: &ImageSharePermissionPage) -> io::Result<()> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    for group in &page.share_groups {
        writeln!(out, "group {}", group.group)?;
    }
    for account in &page.accounts {
        let shared = account
            .shared_time
            .map_or("-".to_owned(), |time| time.to_string());
        writeln!(out, "account {} {shared}", account.aliyun_id)?;
    }
    out.flush()
}

async fn run(options: Options) -> Result<StreamSummary, Status> {
    let deadline = Instant::now() + Duration::from_secs_f64(options.timeout);
    let endpoint = Endpoint::from_shared(format!("http://{}", options.target))
        .map_err(|error| Status::invalid_argument(error.to_string()))?;
    let mut lister = Lister {
        client: ImageSharePermissionServiceClient::new(endpoint.connect_lazy()),
        policy: RetryPolicy::of("StreamImageSharePermission"),
        deadline,
    };
    let request = StreamImageSharePermissionRequest {
        region_id: options.region,
        image_id: options.image,
        page_size: options.page_size,
        ..Default::default()
    };
    match timeout_at(deadline, lister.list(request)).await {
        Ok(Ok(summary)) => Ok(summary),
        Ok(Err(error)) if error.code() != Code::Cancelled => Err(error), // it is what tonic's own timer says
        _ => Err(Status::deadline_exceeded("the deadline is over")),
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let outcome = tokio::select! {
        outcome = run(Options::parse()) => outcome,
        _ = tokio::signal::ctrl_c() => {
            eprintln!("error CANCELLED - interrupted");
            return ExitCode::from(130);
        }
    };
    match outcome {
        Ok(summary) => {
            println!(
                "summary pages={} accounts={} duplicates={} consistency={}",
                summary.page_count,
                summary.account_count,
                summary.duplicate_count,
                Consistency::try_from(summary.consistency)
                    .unwrap_or_default()
                    .as_str_name(),
            );
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error {}", Failure::from(&error));
            ExitCode::FAILURE
        }
    }
}
