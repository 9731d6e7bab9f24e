//! The part of the published service config that other clients leave to their channel: tonic reads none.

use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;
use tonic::Status;

const SERVICE_CONFIG: &str = include_str!("../../../src/ecsgateway/clients/service_config.json");

/// How often, and when, a call that has brought nothing is made again.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RetryPolicy {
    max_attempts: u32,
    initial_backoff: String,
    max_backoff: String,
    backoff_multiplier: f64,
    retryable_status_codes: Vec<String>,
}

impl RetryPolicy {
    /// Reads the policy of a method.
    pub fn of(method: &str) -> Self {
        let config: Value = serde_json::from_str(SERVICE_CONFIG).expect("the service config is JSON");
        let methods = config["methodConfig"].as_array().into_iter().flatten();
        let policy = methods
            .filter(|each| {
                each["name"]
                    .as_array()
                    .is_some_and(|names| names.iter().any(|n| n["method"] == method))
            })
            .map(|each| each["retryPolicy"].clone())
            .next();
        serde_json::from_value(policy.unwrap_or_default()).expect("the method has a retry policy")
    }

    /// Returns what to wait before the next attempt, or None if there must be none.
    ///
    /// The server's word (gRFC A6, grpc-retry-pushback-ms) goes before the policy's own backoff.
    pub fn delay(&self, error: &Status, attempt: u32) -> Option<Duration> {
        if attempt >= self.max_attempts || !self.retryable_status_codes.contains(&code_name(error)) {
            return None;
        }
        if let Some(pushback) = error.metadata().get("grpc-retry-pushback-ms") {
            return pushback.to_str().ok()?.parse().ok().map(Duration::from_millis);
        }
        let backoff = seconds(&self.initial_backoff) * self.backoff_multiplier.powi(attempt as i32 - 1);
        let jitter = rand::random_range(0.8..1.2);
        Some(Duration::from_secs_f64(
            backoff.min(seconds(&self.max_backoff)) * jitter,
        ))
    }
}

fn seconds(duration: &str) -> f64 {
    duration
        .trim_end_matches('s')
        .parse()
        .expect("a duration such as 0.2s")
}

/// Returns a code as gRPC writes it: NOT_FOUND.
pub fn code_name(status: &Status) -> String {
    let mut name = String::new();
    for letter in format!("{:?}", status.code()).chars() {
        if letter.is_uppercase() && !name.is_empty() {
            name.push('_');
        }
        name.push(letter.to_ascii_uppercase());
    }
    name
}
