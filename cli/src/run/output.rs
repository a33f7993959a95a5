//! The step's output: inherited, or through a pipe and the redactor.

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

/// The size of a read: the capacity of a Linux pipe.
const CHUNK: usize = 64 * 1024;
const PAGE: usize = 4 * 1024;
/// How long to wait for a descendant of the step that keeps the output open and writes nothing.
const IDLE_LIMIT: Duration = Duration::from_millis(200);
/// The step's own last output is at most a full pipe and one piece in transit; later output is a descendant's.
const DRAIN_LIMIT: u64 = 2 * CHUNK as u64;
const POLL: Duration = Duration::from_millis(5);

/// How one output of the step reaches this process' output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StreamMode {
    /// Inherited.
    Inherited,
    /// Through a pipe and the redactor.
    Redacted,
}

/// The modes of both outputs.
pub(crate) struct StepOutput {
    /// Its standard output.
    pub(crate) stdout: StreamMode,
    /// Its standard error.
    pub(crate) stderr: StreamMode,
    /// The secrets to redact in both.
    pub(crate) redaction: Arc<Redaction>,
}

/// The pipes of a step that is about to start.
pub(super) struct Connected {
    pipes: Vec<(PipeReader, OwnStream)>,
    redaction: Arc<Redaction>,
}

impl StepOutput {
    /// Makes the pipes. If this process' outputs are one file, the step gets one pipe, so that the order of its writes is
    /// preserved.
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

/// The redacted outputs, each forwarded by its own thread from the first output on.
pub(super) struct Outputs {
    pumps: Vec<Arc<Pump>>,
}

struct Pump {
    stream: Mutex<Option<(RedactedStream, OwnStream)>>,
    redaction: Arc<Redaction>,
    /// Even while the pump waits for the step, odd while it forwards; counts up.
    phase: AtomicU64,
    /// Forwarded bytes.
    forwarded: AtomicU64,
    ended: Notify,
}

/// The phase of a stream that has ended.
const ENDED: u64 = u64::MAX - 1;

impl Outputs {
    pub(super) fn start(connected: Connected) -> Self {
        let start = |(from, to)| {
            let redaction = Arc::clone(&connected.redaction);
            let stream = Mutex::new(Some((RedactedStream::new(redaction.redactor()), to)));
            let (phase, forwarded) = (AtomicU64::new(0), AtomicU64::new(0));
            let pump = Arc::new(Pump { stream, redaction, phase, forwarded, ended: Notify::new() });
            tokio::spawn(Arc::clone(&pump).begin(from));
            pump
        };
        Self { pumps: connected.pipes.into_iter().map(start).collect() }
    }

    /// Waits until every output has ended, or its descendants have been idle or have written more than the step can have
    /// left in the pipe. Then writes the retained bytes.
    pub(super) async fn drain(&self) {
        for pump in &self.pumps {
            let mut idle = Duration::ZERO;
            let mut last = pump.phase.load(Ordering::Acquire);
            let limit = pump.forwarded.load(Ordering::Acquire) + DRAIN_LIMIT;
            while last != ENDED && idle < IDLE_LIMIT && pump.forwarded.load(Ordering::Acquire) < limit {
                let _ = timeout(POLL, pump.ended.notified()).await;
                let now = pump.phase.load(Ordering::Acquire);
                // Odd: the pump is writing, and waits for a slow reader.
                idle = if now == last && now % 2 == 0 { idle + POLL } else { Duration::ZERO };
                last = now;
            }
            pump.finish();
        }
    }
}

impl Pump {
    /// Waits for the first output, and leaves the rest to a thread, which reads faster than the runtime.
    async fn begin(self: Arc<Self>, from: PipeReader) {
        if let Ok(Some((piece, from))) = first_piece(from).await {
            self.phase.fetch_add(1, Ordering::AcqRel);
            let pump = Arc::clone(&self);
            let thread = thread::Builder::new().name("output".to_owned()).stack_size(64 * 1024);
            if thread.spawn(move || pump.forward_all(&piece, from)).is_ok() {
                return;
            }
            // Without its thread the pipe's reader is closed, and the next write of the step fails.
        }
        self.end();
    }

    fn forward_all(&self, first: &[u8], mut from: PipeReader) {
        let mut forwarded = self.forward(first, None);
        let mut tee = self.tee();
        // The kernel copies to the beginning of a page at twice the speed.
        let mut buffer = vec![0; CHUNK + PAGE];
        let aligned = buffer.as_ptr().align_offset(PAGE).min(PAGE);
        let chunk = buffer.get_mut(aligned..aligned + CHUNK).unwrap_or_default();
        // An error means that the reader of this process' output is gone. Dropping the pipe makes the step's next write fail.
        while forwarded.is_ok() {
            let Ok(read @ 1..) = next_piece(&mut from, &mut tee, chunk) else { break };
            self.phase.fetch_add(1, Ordering::AcqRel);
            forwarded = self.forward(chunk.get(..read).unwrap_or_default(), tee.as_mut());
        }
        drop(from);
        self.end();
    }

    fn tee(&self) -> Option<TeePipe> {
        let stream = self.stream.lock().unwrap_or_else(PoisonError::into_inner);
        stream.as_ref().and_then(|(_, to)| TeePipe::for_output(to))
    }

    /// Forwards a piece, which ends a phase. The tee pipe contains the same piece.
    fn forward(&self, piece: &[u8], tee: Option<&mut TeePipe>) -> io::Result<()> {
        let forwarded = match self.stream.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
            Some((stream, to)) => {
                stream.set_redactor(self.redaction.redactor());
                match tee {
                    Some(tee) if stream.is_clean(piece) => tee.forward(piece.len(), to),
                    Some(tee) => tee.discard(piece.len()).and_then(|()| stream.push(piece, to)),
                    None => stream.push(piece, to),
                }
            }
            None => Err(io::ErrorKind::BrokenPipe.into()),
        };
        self.forwarded.fetch_add(piece.len() as u64, Ordering::AcqRel);
        self.phase.fetch_add(1, Ordering::AcqRel);
        forwarded
    }

    fn end(&self) {
        self.finish();
        self.phase.store(ENDED, Ordering::Release);
        self.ended.notify_one();
    }

    fn finish(&self) {
        let stream = self.stream.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some((mut stream, mut to)) = stream {
            let _ = stream.finish(&mut to).and_then(|()| to.flush());
        }
    }
}

/// Reads the next piece, also into the tee pipe; 0 at the end. A tee pipe that fails is dropped.
fn next_piece(from: &mut PipeReader, tee: &mut Option<TeePipe>, chunk: &mut [u8]) -> io::Result<usize> {
    if let Some(taken) = tee.as_ref().and_then(|tee| tee.fill(from, chunk.len()).ok()) {
        return from.read_exact(chunk.get_mut(..taken).unwrap_or_default()).map(|()| taken);
    }
    *tee = None;
    loop {
        match from.read(chunk) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            read => return read,
        }
    }
}

/// The first output of the step and the rest of its pipe; `None` if it ends without output.
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

/// Leaves the wait to the thread.
#[cfg(windows)]
async fn first_piece(from: PipeReader) -> io::Result<Option<(Vec<u8>, PipeReader)>> {
    Ok(Some((Vec::new(), from)))
}
