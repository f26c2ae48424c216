//! A body in memory that lies in several places, sent as one: what goes around megabytes need not be copied together with them.
//!
//! ```text
//! {"logGroupName":"/g","logStreamName":"s","logEvents":[  │  events as they were encoded  │  ]}
//! ```

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

/// The places, none of them empty. Clones share the bytes.
#[derive(Debug, Default, Clone)]
pub struct Chunks(VecDeque<Bytes>);

impl Extend<Bytes> for Chunks {
    fn extend<I: IntoIterator<Item = Bytes>>(&mut self, chunks: I) {
        self.0.extend(chunks.into_iter().filter(|chunk| !chunk.is_empty()));
    }
}

impl FromIterator<Bytes> for Chunks {
    fn from_iter<I: IntoIterator<Item = Bytes>>(chunks: I) -> Self {
        let mut all = Self::default();
        all.extend(chunks);
        all
    }
}

impl From<Bytes> for Chunks {
    fn from(body: Bytes) -> Self {
        std::iter::once(body).collect()
    }
}

impl Body for Chunks {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.pop_front().map(|chunk| Ok(Frame::data(chunk))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.0.iter().map(|chunk| chunk.len() as u64).sum())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt as _;

    #[tokio::test]
    async fn chunks_are_one_body() {
        let mut body: Chunks =
            ["", "ab", "", "c"].map(|text| Bytes::from_static(text.as_bytes())).into_iter().collect();
        assert_eq!((body.size_hint().exact(), body.is_end_stream()), (Some(3), false));
        assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "ab");
        assert_eq!(body.clone().collect().await.unwrap().to_bytes(), "c");
        assert!(Chunks::from(Bytes::new()).is_end_stream());
    }
}
