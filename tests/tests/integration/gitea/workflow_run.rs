//! A workflow run on the server: its state, its stored logs and how a test waits for both.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use reqwest::Method;
use serde_json::Value;
use system_tests::http;
use system_tests::waiting::eventually_within;

use super::site::{PATIENCE, Site, text};

/// A started run.
pub(crate) struct WorkflowRun<'site> {
    site: &'site Site,
    repository: String,
    id: i64,
}

/// A finished run.
#[derive(Debug)]
pub(crate) struct Ended {
    /// `success`, `failure` or `cancelled`.
    pub(crate) conclusion: String,
    /// The stored log of each job, with the job's name.
    pub(crate) logs: Vec<(String, String)>,
}

impl<'site> WorkflowRun<'site> {
    /// Waits for the first run of a repository.
    #[track_caller]
    pub(crate) fn first_of(site: &'site Site, repository: String) -> Self {
        let path = format!("/repos/{repository}/actions/runs");
        let id = poll(PATIENCE, "a run of the workflow", || {
            http::send(site.server.api(Method::GET, &path)).json.pointer("/workflow_runs/0/id")?.as_i64()
        });
        Self { site, repository, id }
    }

    /// Waits for a line that a step writes to `$OUTSIDE/<name>`.
    #[track_caller]
    pub(crate) fn line_outside(&self, name: &str) -> String {
        let path: PathBuf = self.site.runner.outside(name);
        poll(PATIENCE, &format!("a line in `{name}`"), || {
            let text = fs::read_to_string(&path).unwrap_or_default();
            if !text.ends_with('\n') {
                let run = self.state();
                assert_ne!(text_of(&run, "/status"), "completed", "no `{name}`: {:?}", self.logs());
                return None;
            }
            Some(text.trim().to_owned())
        })
    }

    /// Cancels the run on the server.
    #[track_caller]
    pub(crate) fn cancel(&self) {
        self.site.server.cancel(&self.repository, self.id);
    }

    /// Waits for the end of the run.
    #[track_caller]
    pub(crate) fn finish(self) -> Ended {
        self.finish_within(PATIENCE)
    }

    #[track_caller]
    pub(crate) fn finish_within(self, patience: Duration) -> Ended {
        let run = poll(patience, "the end of the run", || {
            Some(self.state()).filter(|run| text(run, "/status") == "completed")
        });
        Ended { conclusion: text_of(&run, "/conclusion"), logs: self.logs() }
    }

    fn state(&self) -> Value {
        let path = format!("/repos/{}/actions/runs/{}", self.repository, self.id);
        http::send(self.site.server.api(Method::GET, &path)).expect(200).json
    }

    fn logs(&self) -> Vec<(String, String)> {
        let api = |path: String| http::send(self.site.server.api(Method::GET, &path));
        let path = format!("/repos/{}/actions/runs/{}/jobs?limit=50", self.repository, self.id);
        let jobs = api(path).expect(200).json["jobs"].as_array().unwrap().clone();
        let log = |job: Value| {
            let path = format!("/repos/{}/actions/jobs/{}/logs", self.repository, job["id"]);
            (text_of(&job, "/name"), api(path).text)
        };
        jobs.into_iter().map(log).collect()
    }
}

impl Ended {
    /// Asserts the conclusion and returns the log of the only job.
    #[track_caller]
    pub(crate) fn expect(&self, conclusion: &str) -> &str {
        let log = self.logs.first().map_or("", |(_, log)| log.as_str());
        assert_eq!(self.conclusion, conclusion, "{log}");
        log
    }
}

/// Polls ten times a second, because every request also loads the observed server.
#[track_caller]
fn poll<T>(patience: Duration, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    eventually_within(patience, what, || {
        let found = look();
        if found.is_none() {
            std::thread::sleep(Duration::from_millis(100));
        }
        found
    })
}

fn text_of(value: &Value, pointer: &str) -> String {
    text(value, pointer).to_owned()
}
