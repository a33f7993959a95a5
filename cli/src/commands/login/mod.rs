//! `login`, `logout` and `whoami --person`: the session of a person with a broker.

mod browser;
mod loopback;

use jit_client::{Client, Env, Pkce, Url, broker_url, random_text};
use protocol::printable::printable;
use protocol::{Secret, routes};

use self::loopback::Loopback;
use super::{RETRIES, block_on, line_of_input};
use crate::args::{LoginArgs, View, WhoamiArgs};
use crate::error::CliError;
use crate::output::{Mark, Output};
use crate::session;

/// The longest code that is read from the terminal.
const LONGEST_CODE: u64 = 1024;

pub(crate) fn login(args: &LoginArgs, env: &Env, output: &mut Output) -> Result<(), CliError> {
    let env = match &args.url {
        Some(url) => &env.clone().with("CLOUDANIX_URL", url),
        None => env,
    };
    let url = broker_url(env)?;
    let (pkce, state) = (Pkce::new()?, random_text()?);
    let client = Client::new(&session::anonymous(url.to_string(), env))?;
    let new = block_on(async {
        let code = if args.no_browser {
            let address = sign_in(&url, &pkce, None, args.fresh)?;
            output.line(Mark::Waiting, "login", &format!("sign in at {address}"));
            output.hint("then paste the code that the browser shows, and press Enter");
            pasted()?
        } else {
            let loopback = Loopback::listen(state.clone()).await?;
            let back = Some((loopback.port(), &state));
            let address = sign_in(&url, &pkce, back, args.fresh)?;
            let opened = browser::open(&address);
            let what = if opened { "your browser has opened" } else { "open" };
            output.line(Mark::Waiting, "login", &format!("{what} {address}"));
            output.hint("on a machine without a browser: `cloudanix-jit login --no-browser`");
            loopback.code(args.timeout.into()).await?
        };
        Ok(client.exchange_code(code, pkce.verifier.clone(), RETRIES).await?)
    })?;
    session::save(url.as_str(), &new, env)?;
    let (who, until) = (printable(new.session.person.shown()), new.session.ends_at);
    output.line(Mark::Done, "login", &format!("{who} · until {until}"));
    Ok(())
}

pub(crate) fn logout(env: &Env, output: &mut Output) -> Result<(), CliError> {
    let Some(settings) = session::settings(env)? else {
        output.line(Mark::Done, "logout", "there was no session");
        return Ok(());
    };
    let client = Client::new(&settings)?;
    let ended = block_on(async { Ok(client.end_session(RETRIES).await) })?;
    // The session is forgotten here even if the broker cannot be asked; there it ends when it is not used.
    session::forget(&settings.url, env)?;
    match ended.map_err(CliError::from) {
        Ok(()) => output.line(Mark::Done, "logout", "the session has ended"),
        Err(error) if error.exit() == crate::exit::Exit::Unauthenticated => {
            output.line(Mark::Done, "logout", "the session had ended before");
        }
        Err(error) => return Err(error),
    }
    Ok(())
}

/// `whoami --person`
pub(crate) fn whoami(args: &WhoamiArgs, env: &Env, output: &mut Output) -> Result<(), CliError> {
    let settings = session::settings(env)?.ok_or_else(|| {
        CliError::usage("there is no session with this broker").with_hint("run `cloudanix-jit login`")
    })?;
    let client = Client::new(&settings)?;
    let session = block_on(async { Ok(client.session(RETRIES).await?) })?;
    match args.output {
        View::Json => output.json(&session),
        View::Text => {
            let rights: Vec<&str> = session.rights.iter().map(|right| right.as_str()).collect();
            let or_none = |text: String| if text.is_empty() { "none".to_owned() } else { text };
            output.data(&format!(
                "person     {}\nsubject    {}\nissuer     {}\ngroups     {}\nrights     {}\nproved at  {}\nends at    {}\n",
                printable(session.person.shown()),
                printable(&session.person.subject),
                printable(&session.person.issuer),
                printable(&or_none(session.groups.join(", "))),
                or_none(rights.join(", ")),
                session.authenticated_at,
                session.ends_at,
            ))
        }
    }
}

/// The address at which the person signs in.
fn sign_in(url: &Url, pkce: &Pkce, back: Option<(u16, &Secret)>, fresh: bool) -> Result<Url, CliError> {
    let mut address = url
        .join(routes::SIGN_IN.trim_start_matches('/'))
        .map_err(|error| CliError::unexpected(format!("the address of the sign-in: {error}")))?;
    let mut query = address.query_pairs_mut();
    query.append_pair("challenge", &pkce.challenge);
    if let Some((port, state)) = back {
        query.append_pair("port", &port.to_string()).append_pair("state", state.reveal());
    }
    if fresh {
        query.append_pair("fresh", "true");
    }
    drop(query);
    Ok(address)
}

/// The code that the person pastes.
fn pasted() -> Result<Secret, CliError> {
    let unreadable = |error: std::io::Error| CliError::usage(format!("the code cannot be read: {error}"));
    let line = line_of_input(LONGEST_CODE).map_err(unreadable)?;
    let code = Secret::new(line.trim());
    if code.is_empty() {
        return Err(CliError::usage("expected the code from the browser, found none"));
    }
    Ok(code)
}
