//! A repository on the server, with the action in its folder `action` and one workflow.

use std::fs;
use std::path::Path;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use reqwest::Method;
use serde_json::{Value, json};
use system_tests::wrappers::root;

use super::server::USER;
use super::site::{Site, UNTIL_GO};
use super::workflow_run::WorkflowRun;

/// A repository's files, which one commit pushes.
pub(crate) struct Repository {
    name: String,
    files: Vec<(String, Vec<u8>)>,
    jobs: String,
}

const WHO: &str = "auth-token: ${{ secrets.CLOUDANIX_AUTH_TOKEN }}";
/// Clones the repository without `actions/checkout`, which is on GitHub and out of a test's reach.
const CHECKOUT: &str = "git clone -q --depth 1 \"$GITHUB_SERVER_URL/$GITHUB_REPOSITORY\" .";

impl Repository {
    /// A repository whose workflow has one job with these steps. `$WHO` stands for the input `auth-token`, and
    /// `$UNTIL_GO` for [`UNTIL_GO`].
    pub(crate) fn with(steps: &str) -> Self {
        Self::empty().job("deploy", steps)
    }

    /// A repository without a job.
    pub(crate) fn empty() -> Self {
        let repository = Self { name: "orders".to_owned(), files: Vec::new(), jobs: String::new() };
        repository.folder("action", &root().join("action"))
    }

    /// Adds a job.
    pub(crate) fn job(mut self, name: &str, steps: &str) -> Self {
        let steps = steps.replace("$WHO", WHO).replace("$UNTIL_GO", UNTIL_GO);
        self.jobs += &format!("  {name}:\n    runs-on: host\n    steps:\n      - run: {CHECKOUT}\n{steps}");
        self
    }

    /// Adds a file.
    pub(crate) fn file(mut self, name: &str, text: &str) -> Self {
        self.files.push((name.to_owned(), text.as_bytes().to_vec()));
        self
    }

    fn folder(mut self, name: &str, folder: &Path) -> Self {
        self.files.extend(files_below(name, folder));
        self
    }

    /// Creates the repository on the server and pushes to it, which starts its workflow.
    #[track_caller]
    pub(crate) fn push(mut self, site: &Site) -> WorkflowRun<'_> {
        let workflow = format!("on: push\njobs:\n{}", self.jobs);
        self.files.push((".gitea/workflows/deploy.yml".to_owned(), workflow.into_bytes()));
        create(site, "/user/repos", &self.name);
        let repository = format!("{USER}/{}", self.name);
        let secret = format!("/repos/{repository}/actions/secrets/CLOUDANIX_AUTH_TOKEN");
        site.server.send(Method::PUT, &secret, &json!({ "data": site.auth_token }));
        commit(site, &repository, &self.files);
        WorkflowRun::first_of(site, repository)
    }
}

/// Publishes the action as `cloudanix/jit-action` with this tag.
#[track_caller]
pub(crate) fn publish_the_action(site: &Site, tag: &str) {
    site.server.send(Method::POST, "/orgs", &json!({ "username": "cloudanix" }));
    create(site, "/orgs/cloudanix/repos", "jit-action");
    let mut files = files_below("", &root().join("action"));
    // The server creates a README.md with the repository.
    files.retain(|(name, _)| name != "README.md");
    commit(site, "cloudanix/jit-action", &files);
    site.server.send(Method::POST, "/repos/cloudanix/jit-action/tags", &json!({ "tag_name": tag }));
}

#[track_caller]
fn create(site: &Site, path: &str, name: &str) {
    // A commit through the API needs a branch, and only a first commit creates one.
    let body = json!({ "name": name, "auto_init": true, "default_branch": "main" });
    site.server.send(Method::POST, path, &body);
}

#[track_caller]
fn commit(site: &Site, repository: &str, files: &[(String, Vec<u8>)]) {
    let create = |(path, content): &(String, Vec<u8>)| json!({ "operation": "create", "path": path, "content": BASE64_STANDARD.encode(content) });
    let files: Vec<Value> = files.iter().map(create).collect();
    let body = json!({ "message": "all", "branch": "main", "files": files });
    site.server.send(Method::POST, &format!("/repos/{repository}/contents"), &body);
}

fn files_below(name: &str, folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = format!("{name}/{}", path.file_name().unwrap().to_str().unwrap());
        let name = name.trim_start_matches('/');
        if path.is_dir() {
            files.extend(files_below(name, &path));
        } else {
            files.push((name.to_owned(), fs::read(&path).unwrap()));
        }
    }
    files
}
