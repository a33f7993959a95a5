//! Where does the step's output go: untouched to ours, or through the redactor?

use std::io::{self, PipeReader, Read as _, Write as _};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use tokio::process::Command;
use tokio::sync::Notify;
use tokio::time::timeout;

use super::redaction::Redaction;
use super::zero_copy::TeePipe;
use crate::redact::RedactedStream;
use crate::streams::{OwnStream, Streams};

/// How much is read at a time; as much as a Linux pipe holds.
const CHUNK: usize = 64 * 1024;
const PAGE: usize = 4 * 1024;
/// A descendant of the step that keeps the output open and says nothing for so long is not waited for.
const SILENCE: Duration = Duration::from_millis(200);
/// The step's own last words are no more than what a pipe holds and one piece that is on its way; who writes
/// on after that is not the step.
const DRAIN_LIMIT: u64 = 2 * CHUNK as u64;
const LOOK: Duration = Duration::from_millis(5);

/// How one output of the step reaches ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StreamMode {
    /// Inherited, as if we were not there.
    Untouched,
    /// Through a pipe and the redactor.
    Redacted,
}

/// Where the step writes.
pub(crate) struct StepOutput {
    /// Its standard output.
    pub(crate) stdout: StreamMode,
    /// Its standard error.
    pub(crate) stderr: StreamMode,
    /// What is kept out of both.
    pub(crate) redaction: Arc<Redaction>,
}

/// The pipes of a step that is about to start.
pub(super) struct Connected {
    pipes: Vec<(PipeReader, OwnStream)>,
    redaction: Arc<Redaction>,
}

impl StepOutput {
    /// Makes the pipes. Outputs of ours that are one file get one pipe, so that the order in which the step
    /// writes to them stays what it is.
    pub(super) fn connect(&self, command: &mut Command) -> io::Result<Connected> {
        let mut pipes = Vec::new();
        match (self.stdout, self.stderr, Streams::of_this_process()) {
            (StreamMode::Redacted, StreamMode::Redacted, Streams::Merged) => {
                let (read, write) = io::pipe()?;
                command.stdout(write.try_clone()?);
                command.stderr(write);
                pipes.push((read, OwnStream::stdout()?));
            }
            (stdout, stderr, Streams::Merged | Streams::Apart) => {
                if stdout == StreamMode::Redacted {
                    let (read, write) = io::pipe()?;
                    command.stdout(write);
                    pipes.push((read, OwnStream::stdout()?));
                }
                if stderr == StreamMode::Redacted {
                    let (read, write) = io::pipe()?;
                    command.stderr(write);
                    pipes.push((read, OwnStream::stderr()?));
                }
            }
        }
        Ok(Connected { pipes, redaction: Arc::clone(&self.redaction) })
    }
}

/// The outputs that are passed on, each by a thread of its own once there is something to pass on.
pub(super) struct Outputs {
    pumps: Vec<Arc<Pump>>,
}

struct Pump {
    stream: Mutex<Option<(RedactedStream, OwnStream)>>,
    redaction: Arc<Redaction>,
    /// Even while it waits for the step to write, odd while it passes something on; counts up.
    turns: AtomicU64,
    /// Bytes that were passed on.
    passed: AtomicU64,
    ended: Notify,
}

/// So many turns are never taken: the stream has ended.
const ENDED: u64 = u64::MAX - 1;

impl Outputs {
    pub(super) fn start(connected: Connected) -> Self {
        let start = |(from, to)| {
            let redaction = Arc::clone(&connected.redaction);
            let stream = Mutex::new(Some((RedactedStream::new(redaction.redactor()), to)));
            let (turns, passed) = (AtomicU64::new(0), AtomicU64::new(0));
            let pump = Arc::new(Pump { stream, redaction, turns, passed, ended: Notify::new() });
            tokio::spawn(Arc::clone(&pump).begin(from));
            pump
        };
        Self { pumps: connected.pipes.into_iter().map(start).collect() }
    }

    /// Until every output has ended, or those that still hold one open have been silent for a while or said
    /// more than the step can have left. What was held back as a possible beginning of a secret is written then.
    pub(super) async fn drain(&self) {
        for pump in &self.pumps {
            let mut silent = Duration::ZERO;
            let mut seen = pump.turns.load(Ordering::Acquire);
            let enough = pump.passed.load(Ordering::Acquire) + DRAIN_LIMIT;
            while seen != ENDED && silent < SILENCE && pump.passed.load(Ordering::Acquire) < enough {
                let _ = timeout(LOOK, pump.ended.notified()).await;
                let now = pump.turns.load(Ordering::Acquire);
                // Odd: it is writing, and a slow reader of ours loses nothing.
                silent = if now == seen && now % 2 == 0 { silent + LOOK } else { Duration::ZERO };
                seen = now;
            }
            pump.finish();
        }
    }
}

impl Pump {
    /// Waits for the step to write, and leaves what follows to a thread, which reads faster than the runtime.
    async fn begin(self: Arc<Self>, from: PipeReader) {
        if let Ok(Some((piece, from))) = first_piece(from).await {
            self.turns.fetch_add(1, Ordering::AcqRel);
            let pump = Arc::clone(&self);
            let thread = thread::Builder::new().name("output".to_owned()).stack_size(64 * 1024);
            if thread.spawn(move || pump.pass_all(&piece, from)).is_ok() {
                return;
            }
            // Without its thread the pipe's reader is closed, and the step is told so when it writes.
        }
        self.end();
    }

    fn pass_all(&self, first: &[u8], mut from: PipeReader) {
        let mut passed = self.pass(first, None);
        let mut twin = self.twin();
        // The kernel copies to the beginning of a page at twice the speed.
        let mut buffer = vec![0; CHUNK + PAGE];
        let aligned = buffer.as_ptr().align_offset(PAGE).min(PAGE);
        let chunk = buffer.get_mut(aligned..aligned + CHUNK).unwrap_or_default();
        // An error means that nobody reads us any more: dropping our end tells the step the same.
        while passed.is_ok() {
            let Ok(read @ 1..) = next_piece(&mut from, &mut twin, chunk) else { break };
            self.turns.fetch_add(1, Ordering::AcqRel);
            passed = self.pass(chunk.get(..read).unwrap_or_default(), twin.as_mut());
        }
        drop(from);
        self.end();
    }

    fn twin(&self) -> Option<TeePipe> {
        let stream = self.stream.lock().unwrap_or_else(PoisonError::into_inner);
        stream.as_ref().and_then(|(_, to)| TeePipe::for_output(to))
    }

    /// Passes a piece on, which ends a turn; a twin has the same piece.
    fn pass(&self, piece: &[u8], twin: Option<&mut TeePipe>) -> io::Result<()> {
        let passed = match self.stream.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
            Some((stream, to)) => {
                stream.look_with(self.redaction.redactor());
                match twin {
                    Some(twin) if stream.is_clean(piece) => twin.pass(piece.len(), to),
                    Some(twin) => twin.drop_taken(piece.len()).and_then(|()| stream.push(piece, to)),
                    None => stream.push(piece, to),
                }
            }
            None => Err(io::ErrorKind::BrokenPipe.into()),
        };
        self.passed.fetch_add(piece.len() as u64, Ordering::AcqRel);
        self.turns.fetch_add(1, Ordering::AcqRel);
        passed
    }

    fn end(&self) {
        self.finish();
        self.turns.store(ENDED, Ordering::Release);
        self.ended.notify_one();
    }

    fn finish(&self) {
        let stream = self.stream.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some((mut stream, mut to)) = stream {
            let _ = stream.finish(&mut to).and_then(|()| to.flush());
        }
    }
}

/// Reads what comes next, which the twin then has too; 0 at the end. A twin that fails is given up.
fn next_piece(from: &mut PipeReader, twin: &mut Option<TeePipe>, chunk: &mut [u8]) -> io::Result<usize> {
    if let Some(taken) = twin.as_ref().and_then(|twin| twin.take(from, chunk.len()).ok()) {
        return from.read_exact(chunk.get_mut(..taken).unwrap_or_default()).map(|()| taken);
    }
    *twin = None;
    loop {
        match from.read(chunk) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            read => return read,
        }
    }
}

/// What the step writes first, and the pipe to be read on from there; nothing when it ends without a word.
#[cfg(unix)]
async fn first_piece(from: PipeReader) -> io::Result<Option<(Vec<u8>, PipeReader)>> {
    let from = tokio::net::unix::pipe::Receiver::from_owned_fd(from.into())?;
    let mut piece = vec![0; 4 * 1024];
    loop {
        from.readable().await?;
        match from.try_read(&mut piece) {
            Ok(0) => return Ok(None),
            Ok(read) => {
                piece.truncate(read);
                return Ok(Some((piece, from.into_blocking_fd()?.into())));
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
}

/// The thread waits for it.
#[cfg(windows)]
async fn first_piece(from: PipeReader) -> io::Result<Option<(Vec<u8>, PipeReader)>> {
    Ok(Some((Vec::new(), from)))
}
