//! A bare hyper server that answers 1 KiB from memory: how fast a node's `GET` could be with nothing behind it.
//!
//! The stack is the node's own (hyper 1 on tokio's multi-thread runtime, no delay, pipelined answers flushed together),
//! so the distance to it is the cost of what the node adds.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

use crate::bench::values;

/// Where to listen.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// The port on 127.0.0.1
    #[arg(long)]
    port: u16,
}

/// Serves until it is killed.
///
/// # Errors
///
/// The port is taken, or the runtime cannot be built.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(serve(SocketAddr::from((Ipv4Addr::LOCALHOST, options.port))))
}

async fn serve(address: SocketAddr) -> anyhow::Result<()> {
    let listener = TcpListener::bind(address).await?;
    let mut document = Vec::new();
    values::write_document(0, &mut document);
    let body = Bytes::from(document);
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let body = body.clone();
        tokio::spawn(async move {
            let service = service_fn(move |_: Request<Incoming>| {
                let mut response = Response::new(Full::new(body.clone()));
                response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
                std::future::ready(Ok::<_, Infallible>(response))
            });
            // A connection that breaks off is the client's affair: the benchmark counts it there.
            http1::Builder::new()
                .pipeline_flush(true)
                .serve_connection(TokioIo::new(stream), service)
                .await
                .ok()
        });
    }
}
