//! Content of HTTP answers, and the ways to send it wrongly.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use thiserror::Error;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Sleep, sleep},
};

/// How often slow content goes on.
const TICK: Duration = Duration::from_millis(100);
const TICKS_A_SECOND: u32 = 10;
/// Sent at a time otherwise, so that little waits in buffers when a connection is to be cut.
const CHUNK: usize = 16 * 1024;
/// Turns that hyper gets to send what it has before the connection is cut.
const FLUSHES: u8 = 2;

/// What is wrong with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flaw {
    None,
    /// The connection is cut after this many bytes.
    CutAfter(u64),
    Slow {
        bytes_per_second: u32,
    },
}

/// Makes hyper cut the connection.
#[derive(Debug, Error)]
#[error("connection cut as configured")]
pub(super) struct Cut;

/// Content of an answer. Its whole length is announced whatever is sent of it.
pub(super) struct Content {
    left: Bytes,
    announced: u64,
    flaw: Flaw,
    flushes: u8,
    pause: Option<Pin<Box<Sleep>>>,
}

impl Content {
    pub(super) fn new(data: Bytes, flaw: Flaw) -> Self {
        Self {
            announced: data.len() as u64,
            left: data,
            flaw,
            flushes: FLUSHES,
            pause: None,
        }
    }

    pub(super) fn announced(&self) -> u64 {
        self.announced
    }

    fn next(&mut self, most: usize) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        let chunk = self.left.split_to(most.min(self.left.len()));
        Poll::Ready(Some(Ok(Frame::data(chunk))))
    }
}

impl Body for Content {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        let sent = self.announced - self.left.len() as u64;
        if self.left.is_empty() {
            return Poll::Ready(None);
        }
        match self.flaw {
            Flaw::None => self.next(CHUNK),
            Flaw::CutAfter(limit) if sent < limit => {
                let most = usize::try_from(limit - sent).unwrap_or(CHUNK);
                self.next(most.min(CHUNK))
            }
            Flaw::CutAfter(_) => {
                // hyper sends what it has before it asks again.
                if let Some(left) = self.flushes.checked_sub(1) {
                    self.flushes = left;
                    context.waker().wake_by_ref();
                    return Poll::Pending;
                }
                Poll::Ready(Some(Err(Cut)))
            }
            Flaw::Slow { bytes_per_second } => {
                let pause = self.pause.get_or_insert_with(|| Box::pin(sleep(TICK)));
                ready!(pause.as_mut().poll(context));
                self.pause = None;
                self.next((bytes_per_second / TICKS_A_SECOND).max(1) as usize)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.left.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left.len() as u64)
    }
}

/// A stream that, once told, garbles all that is written to it.
pub(super) struct Garbled<S> {
    stream: S,
    is_garbled: Arc<AtomicBool>,
}

impl<S> Garbled<S> {
    pub(super) fn new(stream: S, is_garbled: Arc<AtomicBool>) -> Self {
        Self { stream, is_garbled }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Garbled<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Garbled<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.is_garbled.load(Ordering::Relaxed) {
            let garbled: Vec<u8> = data.iter().map(|byte| byte ^ 0xa5).collect();
            return Pin::new(&mut self.stream).poll_write(context, &garbled);
        }
        Pin::new(&mut self.stream).poll_write(context, data)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
