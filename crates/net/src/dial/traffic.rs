//! What went over one connection: the evidence for "not sent", for "the peer is silent" and for "that is no gRPC".

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::frames::{Frames, HEADER as FRAME_HEADER};
use crate::error::ConnectFault;

/// No stream has this number.
const NO_STREAM: u32 = u32::MAX;
/// A frame of type PING (6) with its eight bytes.
const PING: [u8; FRAME_HEADER + 8] = *b"\0\0\x08\x06\0\0\0\0\0holdfast";

/// Counters of one connection, below HTTP/2 and above TLS.
#[derive(Debug)]
pub struct Traffic {
    start: Instant,
    written: AtomicU64,
    read: AtomicU64,
    /// The newest stream that was begun, and the last that the peer takes.
    opened: AtomicU32,
    taken: AtomicU32,
    /// Whether the peer takes no more bytes for now.
    blocked: AtomicBool,
    /// Milliseconds from `start` to the last bytes that came, plus one; 0 while none came.
    last_read: AtomicU64,
    first: Mutex<Vec<u8>>,
    first_frame: Notify,
    /// Whether a ping is to go out, and whom to wake for it.
    ping: Mutex<(bool, Option<Waker>)>,
    ended: CancellationToken,
    failure: OnceLock<Arc<io::Error>>,
    /// Whether nothing may leave any more. Whoever writes holds it meanwhile.
    sealed: Mutex<bool>,
}

impl Traffic {
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            start: Instant::now(),
            written: AtomicU64::new(0),
            read: AtomicU64::new(0),
            opened: AtomicU32::new(0),
            taken: AtomicU32::new(NO_STREAM),
            blocked: AtomicBool::new(false),
            last_read: AtomicU64::new(0),
            first: Mutex::default(),
            first_frame: Notify::new(),
            ping: Mutex::default(),
            ended: CancellationToken::new(),
            failure: OnceLock::new(),
            sealed: Mutex::new(false),
        })
    }

    /// Bytes handed to the socket so far.
    pub fn written(&self) -> u64 {
        self.written.load(Ordering::Acquire)
    }

    /// Bytes that came from the socket so far.
    pub fn read(&self) -> u64 {
        self.read.load(Ordering::Acquire)
    }

    /// The newest stream whose first frame was handed to the socket: that of a call yet to begin has a higher number.
    pub fn opened(&self) -> u32 {
        self.opened.load(Ordering::Acquire)
    }

    /// The last stream that the peer takes, once a GOAWAY of its own said so: those of higher numbers it did not look at.
    pub fn taken(&self) -> Option<u32> {
        Some(self.taken.load(Ordering::Acquire)).filter(|stream| *stream != NO_STREAM)
    }

    /// Whether bytes wait that the peer does not take.
    pub fn is_blocked(&self) -> bool {
        self.blocked.load(Ordering::Acquire)
    }

    /// Has nothing leave any more, and gives the bytes that were handed to the socket until then, and ever will be.
    pub fn seal(&self) -> u64 {
        let mut sealed = self.sealed.lock().unwrap_or_else(PoisonError::into_inner);
        *sealed = true;
        self.written()
    }

    /// Writes, unless nothing may leave any more.
    fn writing(&self, write: impl FnOnce() -> Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        let sealed = self.sealed.lock().unwrap_or_else(PoisonError::into_inner);
        if *sealed {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let polled = write();
        self.wrote(&polled);
        polled
    }

    fn wrote(&self, polled: &Poll<io::Result<usize>>) {
        self.blocked.store(polled.is_pending(), Ordering::Release);
        if let Poll::Ready(Ok(count)) = polled {
            self.written.fetch_add(*count as u64, Ordering::AcqRel);
        }
    }

    /// What first went wrong with reading or writing, if anything did.
    pub fn failure(&self) -> Option<Arc<io::Error>> {
        self.failure.get().cloned()
    }

    /// Keeps why reading or writing failed, which HTTP/2 passes on as a text; the same error for who reads or writes.
    fn kept<T>(&self, done: io::Result<T>) -> io::Result<T> {
        done.map_err(|error| {
            let kind = error.kind();
            let error = Arc::new(error);
            self.failure.get_or_init(|| error.clone());
            io::Error::new(kind, error)
        })
    }

    /// How long the peer has said nothing.
    pub fn silent_for(&self) -> Duration {
        let last = self.last_read.load(Ordering::Acquire).saturating_sub(1);
        self.start.elapsed().saturating_sub(Duration::from_millis(last))
    }

    /// Waits until nobody reads or writes any more: the peer or the kernel ended the connection, or HTTP/2 did.
    pub async fn ended(&self) {
        self.ended.cancelled().await;
    }

    /// Asks the peer, below all calls, whether it is there: it answers with bytes.
    pub fn ping(&self) {
        let mut ping = self.ping.lock().unwrap_or_else(PoisonError::into_inner);
        ping.0 = true;
        ping.1.take().into_iter().for_each(Waker::wake);
    }

    /// Whether a ping is to go out; who asks is woken for the next.
    fn takes_ping(&self, cx: &Context<'_>) -> bool {
        let mut ping = self.ping.lock().unwrap_or_else(PoisonError::into_inner);
        ping.1 = Some(cx.waker().clone());
        std::mem::take(&mut ping.0)
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
        self.read.fetch_add(bytes.len() as u64, Ordering::AcqRel);
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
    outgoing: Frames,
    incoming: Frames,
    /// What is to go out of a ping, between two frames.
    ping: &'static [u8],
}

impl<T> Metered<T> {
    pub fn new(inner: T, traffic: Arc<Traffic>) -> Self {
        Self { inner, traffic, outgoing: Frames::outgoing(), incoming: Frames::incoming(), ping: &[] }
    }
}

impl<T> Drop for Metered<T> {
    fn drop(&mut self) {
        self.traffic.ended.cancel();
    }
}

impl<T: AsyncWrite + Unpin> Metered<T> {
    /// Writes what is to go out of a ping, if it may now.
    fn poll_ping(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.outgoing.are_whole() && !self.ping.is_empty() {
            let Self { inner, traffic, ping, .. } = self;
            let polled = traffic.writing(|| Pin::new(inner).poll_write(cx, ping));
            match ready!(polled)? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                count => self.ping = &self.ping[count..],
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncRead for Metered<T> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.traffic.takes_ping(cx) && self.ping.is_empty() {
            self.ping = &PING;
            if self.poll_ping(cx).is_ready() {
                let _ = Pin::new(&mut self.inner).poll_flush(cx); // what hinders it, the next write tells
            }
        }
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.inner).poll_read(cx, buf).map(|done| self.traffic.kept(done));
        if let Poll::Ready(Ok(())) = polled
            && buf.filled().len() > before
        {
            let came = &buf.filled()[before..];
            self.incoming.follow(came);
            if let Some(taken) = self.incoming.taken() {
                self.traffic.taken.store(taken, Ordering::Release);
            }
            self.traffic.received(came);
        }
        polled
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Metered<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.poll_ping(cx))?;
        let Self { inner, traffic, .. } = &mut *self;
        let polled = traffic.writing(|| Pin::new(inner).poll_write(cx, buf).map(|done| traffic.kept(done)));
        if let Poll::Ready(Ok(count)) = polled {
            self.outgoing.follow(&buf[..count]);
            self.traffic.opened.store(self.outgoing.opened(), Ordering::Release);
        }
        polled
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_ping(cx))?;
        let Self { inner, traffic, .. } = &mut *self;
        let polled = traffic.writing(|| Pin::new(inner).poll_write_vectored(cx, bufs).map(|done| traffic.kept(done)));
        if let Poll::Ready(Ok(mut count)) = polled {
            for buf in bufs {
                let written = count.min(buf.len());
                self.outgoing.follow(&buf[..written]);
                count -= written;
            }
            self.traffic.opened.store(self.outgoing.opened(), Ordering::Release);
        }
        polled
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_ping(cx))?;
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn nothing_leaves_once_it_is_sealed() {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};

        let (ours, mut theirs) = tokio::io::duplex(64);
        let traffic = Traffic::new();
        let mut metered = Metered::new(ours, traffic.clone());
        metered.write_all(b"before").await.expect("open");
        assert_eq!(traffic.seal(), 6);
        traffic.ping();
        assert!(metered.write_all(b"after").await.is_err());
        assert!(metered.write_vectored(&[io::IoSlice::new(b"after")]).await.is_err());
        assert_eq!(traffic.written(), 6);
        drop(metered);
        let mut came = Vec::new();
        theirs.read_to_end(&mut came).await.expect("its end");
        assert_eq!(came, b"before");
    }

    #[tokio::test]
    async fn what_came_a_moment_after_a_look_is_seen() {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};

        let (ours, mut theirs) = tokio::io::duplex(64);
        let traffic = Traffic::new();
        let mut metered = Metered::new(ours, traffic.clone());
        for round in 1..=1_000 {
            let before = traffic.read();
            theirs.write_all(b"sign").await.expect("open");
            metered.read_exact(&mut [0; 4]).await.expect("open");
            assert!(traffic.read() > before, "round {round}");
        }
    }
}
