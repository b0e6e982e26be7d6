//! What went over one connection: the evidence for "not sent", for "the peer is silent" and for "that is no gRPC".

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::error::ConnectFault;

const FRAME_HEADER: usize = 9;

/// Counters of one connection, below HTTP/2 and above TLS.
#[derive(Debug)]
pub struct Traffic {
    start: Instant,
    written: AtomicU64,
    /// Whether the peer takes no more bytes for now.
    blocked: AtomicBool,
    /// Milliseconds from `start` to the last bytes that came, plus one; 0 while none came.
    last_read: AtomicU64,
    first: Mutex<Vec<u8>>,
    first_frame: Notify,
}

impl Traffic {
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            start: Instant::now(),
            written: AtomicU64::new(0),
            blocked: AtomicBool::new(false),
            last_read: AtomicU64::new(0),
            first: Mutex::default(),
            first_frame: Notify::new(),
        })
    }

    /// Bytes handed to the socket so far.
    pub fn written(&self) -> u64 {
        self.written.load(Ordering::Acquire)
    }

    /// Whether bytes wait that the peer does not take.
    pub fn is_blocked(&self) -> bool {
        self.blocked.load(Ordering::Acquire)
    }

    fn wrote(&self, polled: &Poll<io::Result<usize>>) {
        self.blocked.store(polled.is_pending(), Ordering::Release);
        if let Poll::Ready(Ok(count)) = polled {
            self.written.fetch_add(*count as u64, Ordering::AcqRel);
        }
    }

    /// How long the peer has said nothing.
    pub fn silent_for(&self) -> Duration {
        let last = self.last_read.load(Ordering::Acquire).saturating_sub(1);
        self.start.elapsed().saturating_sub(Duration::from_millis(last))
    }

    /// Waits for the first frame; an HTTP/2 server sends its SETTINGS unasked.
    pub async fn settled(&self) -> Result<(), ConnectFault> {
        loop {
            let notified = self.first_frame.notified();
            if let Some(verdict) = self.verdict() {
                return verdict;
            }
            notified.await;
        }
    }

    /// What the first bytes say about who is at the other end, once there are enough of them.
    pub fn verdict(&self) -> Option<Result<(), ConnectFault>> {
        let first = self.first.lock().unwrap_or_else(PoisonError::into_inner);
        match first.as_slice() {
            [] => None,
            [0x15 | 0x16, 0x03, ..] => Some(Err(ConnectFault::TlsExpected)),
            bytes if bytes.len() < FRAME_HEADER => None,
            // A frame of type SETTINGS (4) on stream 0.
            [_, _, _, 4, _, 0, 0, 0, 0, ..] => Some(Ok(())),
            _ => Some(Err(ConnectFault::NotGrpc)),
        }
    }

    /// The first bytes that came, as far as they tell who is at the other end.
    pub fn first_bytes(&self) -> Vec<u8> {
        self.first.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn received(&self, bytes: &[u8]) {
        let now = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX - 1);
        let before = self.last_read.swap(now + 1, Ordering::AcqRel);
        let mut first = self.first.lock().unwrap_or_else(PoisonError::into_inner);
        if before == 0 || first.len() < FRAME_HEADER {
            let missing = FRAME_HEADER.saturating_sub(first.len());
            first.extend(bytes.iter().take(missing));
            self.first_frame.notify_waiters();
        }
    }
}

/// A stream that keeps its `Traffic` up to date.
pub struct Metered<T> {
    inner: T,
    traffic: Arc<Traffic>,
}

impl<T> Metered<T> {
    pub fn new(inner: T, traffic: Arc<Traffic>) -> Self {
        Self { inner, traffic }
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Metered<T> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.inner).poll_read(cx, buf);
        if let Poll::Ready(Ok(())) = polled
            && buf.filled().len() > before
        {
            self.traffic.received(&buf.filled()[before..]);
        }
        polled
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Metered<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.inner).poll_write(cx, buf);
        self.traffic.wrote(&polled);
        polled
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.inner).poll_write_vectored(cx, bufs);
        self.traffic.wrote(&polled);
        polled
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}
