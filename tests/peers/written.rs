//! What of each stream of HTTP/2 has been written to its socket: a reset or the end of the connection would take along
//! what has not.

use std::collections::HashMap;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::watch;

/// A connection, and how many bytes of DATA went out on it.
pub struct Counted<S> {
    inner: S,
    /// What came of a frame's head.
    head: Vec<u8>,
    /// What is to come of its content.
    left: usize,
    written: watch::Sender<HashMap<u32, usize>>,
}

/// Tells what was written.
#[derive(Clone)]
pub struct Written(watch::Receiver<HashMap<u32, usize>>);

impl Written {
    /// Waits until so many bytes of a stream were written, or its connection is gone.
    pub async fn reaches(&self, stream: h2::StreamId, bytes: usize) {
        let enough = |written: &HashMap<u32, usize>| written.get(&stream.as_u32()).copied().unwrap_or(0) >= bytes;
        let _ = self.0.clone().wait_for(enough).await; // whoever resets it then finds out
    }
}

impl<S> Counted<S> {
    pub fn over(inner: S) -> (Self, Written) {
        let (written, told) = watch::channel(HashMap::new());
        (Self { inner, head: Vec::new(), left: 0, written }, Written(told))
    }

    fn count(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.left == 0 {
                let (head, rest) = bytes.split_at(bytes.len().min(9 - self.head.len()));
                self.head.extend_from_slice(head);
                bytes = rest;
                if self.head.len() < 9 {
                    return;
                }
                self.left = u32::from_be_bytes([0, self.head[0], self.head[1], self.head[2]]) as usize;
            }
            let (content, rest) = bytes.split_at(bytes.len().min(self.left));
            self.left -= content.len();
            bytes = rest;
            if self.head[3] == 0 {
                let stream = u32::from_be_bytes([self.head[5], self.head[6], self.head[7], self.head[8]]);
                self.written.send_modify(|written| *written.entry(stream).or_default() += content.len());
            }
            if self.left == 0 {
                self.head.clear();
            }
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Counted<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Counted<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let count = ready!(Pin::new(&mut self.inner).poll_write(cx, bytes))?;
        self.count(&bytes[..count]);
        Poll::Ready(Ok(count))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}
