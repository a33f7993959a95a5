//! Tests of operating a broker: its configuration, replicas, shutdown, monitoring and machine failures.

#[cfg(unix)]
mod dev;
#[cfg(target_os = "linux")]
mod disk_full;
mod examples;
mod reload;
#[cfg(target_os = "linux")]
mod replica_failures;
#[cfg(target_os = "linux")]
mod replicas;
mod shutdown;
mod tls;
mod traces;
