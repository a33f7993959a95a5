//! A plain HTTP server on loopback for tests.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

/// A server with one handler.
pub(crate) struct Web {
    address: SocketAddr,
    over: Arc<AtomicBool>,
}

/// A request: the target of its first line, and its `Authorization`.
pub(crate) struct Request {
    pub(crate) target: String,
    pub(crate) authorization: String,
}

impl Web {
    /// Answers with a status and a body.
    pub(crate) fn serve(handler: impl Fn(&Request) -> (u16, Vec<u8>) + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let over = Arc::new(AtomicBool::new(false));
        let ends = Arc::clone(&over);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if ends.load(Ordering::SeqCst) {
                    return;
                }
                // A client that closes the connection early needs no response.
                let _ = answer(stream, &handler);
            }
        });
        Self { address, over }
    }

    /// The address of the server.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for Web {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
    }
}

fn answer(stream: TcpStream, handler: &impl Fn(&Request) -> (u16, Vec<u8>)) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let first = lines.next().transpose()?.unwrap_or_default();
    let mut request = Request {
        target: first.split(' ').nth(1).unwrap_or_default().to_owned(),
        authorization: String::new(),
    };
    for line in lines {
        let line = line?;
        if line.is_empty() {
            break;
        }
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("authorization")
        {
            request.authorization = value.trim().to_owned();
        }
    }
    let (status, body) = handler(&request);
    let mut stream = stream;
    write!(
        stream,
        "HTTP/1.1 {status} so\r\ncontent-length: {}\r\ncontent-type: application/json\r\nconnection: close\r\n\r\n",
        body.len()
    )?;
    stream.write_all(&body)
}
