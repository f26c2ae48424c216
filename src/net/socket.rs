//! An open connection, plain or TLS, that gives up when no byte moved for too long (`net.io_timeout`).

use std::io::{self, ErrorKind, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper_util::client::legacy::connect::{Connected, Connection};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

/// What TCP and TLS streams have in common.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin + 'static {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin + 'static> Stream for T {}

/// A connection of the pool.
pub struct Socket {
    stream: Box<dyn Stream>,
    /// Requests name the whole URL, for a proxy to read.
    whole_urls: bool,
    stall: Option<Stall>,
}

impl Socket {
    pub(super) fn new(stream: impl Stream, stalled_after: Duration) -> Self {
        let stall =
            (!stalled_after.is_zero()).then(|| Stall { after: stalled_after, timer: Box::pin(sleep(stalled_after)) });
        Self { stream: Box::new(stream), whole_urls: false, stall }
    }

    /// The other side is a proxy that reads the requests itself.
    pub(super) fn of_proxy(self) -> Self {
        Self { whole_urls: true, ..self }
    }

    fn watch<T>(&mut self, polled: Poll<io::Result<T>>, cx: &mut Context<'_>) -> Poll<io::Result<T>> {
        match (&mut self.stall, polled) {
            (Some(stall), Poll::Pending) => {
                ready!(stall.timer.as_mut().poll(cx));
                Poll::Ready(Err(io::Error::new(ErrorKind::TimedOut, "no byte moved within net.io_timeout")))
            }
            (Some(stall), ready) => {
                stall.timer.as_mut().reset(Instant::now() + stall.after);
                ready
            }
            (None, polled) => polled,
        }
    }
}

/// The time until the connection counts as stalled; put off by each byte.
struct Stall {
    after: Duration,
    timer: Pin<Box<Sleep>>,
}

impl Connection for Socket {
    fn connected(&self) -> Connected {
        Connected::new().proxy(self.whole_urls)
    }
}

impl AsyncRead for Socket {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_read(cx, buf);
        self.watch(polled, cx)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.watch(polled, cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.watch(polled, cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
