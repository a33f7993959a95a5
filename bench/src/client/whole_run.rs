//! Measures the client's start, and a whole run: elevate, the step, revoke.

use std::fs;
use std::process::Command;

use anyhow::Result;

use super::succeed;
use crate::Effort;
use crate::figures::{Figure, Pairs, Report, Target, interleaved, timed};
use crate::fixture::{Fixture, new_key};

pub(super) fn measure(fixture: &Fixture, effort: Effort, report: &mut Report) -> Result<()> {
    let runs = effort.pick(200, 3);
    let start = interleaved(
        runs,
        || timed(|| succeed(fixture.client(&["--version"]).env_clear())),
        || timed(|| succeed(Command::new("/bin/true").env_clear())),
    )?;
    figure(report, "start: `--version` against `/bin/true`", Target::AtMost(1.0), &start, "true");

    let runs = effort.pick(100, 2);
    let body = fixture.folder.path().join("elevation.json");
    fs::write(&body, fixture.elevation())?;
    let by_curl = |method: &str, path: &str, key: &str| {
        let mut curl = Command::new("curl");
        curl.env_clear().envs(std::env::var_os("PATH").map(|path| ("PATH", path)));
        curl.args(["-sSf", "--http1.1", "-X", method, "--cacert"]).arg(&fixture.ca_file);
        curl.args(["-H", &format!("Authorization: Bearer {}", fixture.behind_tls.auth_token)]);
        curl.args(["-H", &format!("Idempotency-Key: {key}")]);
        curl.arg(format!("{}{path}", fixture.behind_tls.url));
        curl
    };
    let whole = interleaved(
        runs,
        || timed(|| succeed(&mut fixture.run(&["true"]))),
        || {
            let key = new_key();
            timed(|| {
                let mut elevate = by_curl("POST", "/v2/agentic/jit", &key);
                elevate.args(["-H", "Content-Type: application/json", "--data-binary"]);
                succeed(elevate.arg(format!("@{}", body.display())))?;
                let path = format!("/v2/agentic/jit?idempotency_key={key}&cause=exit:0");
                succeed(&mut by_curl("DELETE", &path, &key))
            })
        },
    )?;
    figure(
        report,
        "`run -- true` over TLS against curl twice: the same elevate and revoke, without a step or a keeper",
        Target::AtMost(0.25),
        &whole,
        "curl, curl",
    );

    let nothing = interleaved(
        runs,
        || timed(|| succeed(&mut fixture.run(&["true"]))),
        || {
            timed(|| {
                // The grant is not found: two requests and no work for the broker.
                let post = |path| {
                    let mut curl = by_curl("POST", path, "0");
                    curl.args(["--no-fail", "-d", "x"]);
                    succeed(&mut curl)
                };
                post("/nothing")?;
                post("/nothing")
            })
        },
    )?;
    figure(
        report,
        "`run -- true` over TLS against two curl POSTs that the broker answers with 404",
        Target::AtMost(0.25),
        &nothing,
        "curl, curl",
    );
    Ok(())
}

fn figure(report: &mut Report, claim: &str, target: Target, pairs: &Pairs, other: &str) {
    report.figure(&Figure {
        claim,
        ratio: pairs.ratio(),
        target,
        ours: format!("{:.2} ms", pairs.ours.median()),
        other: format!("{other} {:.2} ms", pairs.other.median()),
        runs: pairs.ours.len(),
    });
}
