//! The demo's Rust worker: digests files and measures how well they compress.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

use hybridrt::{BoxError, Context, Outcome, StopToken, Worker};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use zstd::stream::write::Encoder;

const CHUNK_SIZE: usize = 256 * 1024;
const ZSTD_LEVEL: i32 = 3;

/// What `file.sniff` found and asks to be digested.
#[derive(Deserialize)]
struct Request {
    root: String,
    path: String,
    #[serde(rename = "type")]
    content_type: String,
}

#[derive(Serialize)]
struct Report<'a> {
    path: &'a str,
    size: u64,
    #[serde(rename = "type")]
    content_type: &'a str,
    sha256: String,
    /// Bytes after compression.
    zstd: u64,
}

/// A file that vanished or cannot be read is a finding, not a failure.
#[derive(Serialize)]
struct Unreadable<'a> {
    path: &'a str,
    #[serde(rename = "type")]
    content_type: &'a str,
    error: String,
}

struct Measure {
    size: u64,
    sha256: String,
    zstd: u64,
}

fn main() -> Result<(), BoxError> {
    let worker = Worker::builder()
        .version(env!("CARGO_PKG_VERSION"))
        .handle_json("file.digest", |request: Request, _job, ctx| {
            digest(&request, ctx)
        })
        .build()?;
    Ok(worker.run_until(&StopToken::on_signals()?)?)
}

fn digest(request: &Request, ctx: &Context<'_>) -> Result<Outcome, BoxError> {
    let (path, content_type) = (&*request.path, &*request.content_type);
    let opened = File::open(Path::new(&request.root).join(path));
    match opened.and_then(|file| measure(file, ctx)) {
        Ok(Measure { size, sha256, zstd }) => Outcome::json(&Report {
            path,
            size,
            content_type,
            sha256,
            zstd,
        }),
        Err(error) if error.kind() == io::ErrorKind::Interrupted => Err("cancelled".into()),
        Err(error) => Outcome::json(&Unreadable {
            path,
            content_type,
            error: error.to_string(),
        }),
    }
}

/// Reads a file once, in chunks. `Interrupted` when the attempt should stop.
fn measure(mut file: impl Read, ctx: &Context<'_>) -> io::Result<Measure> {
    let mut sha256 = Sha256::new();
    let mut zstd = Encoder::new(Counter(0), ZSTD_LEVEL)?;
    let mut chunk = vec![0; CHUNK_SIZE];
    let mut size = 0;
    loop {
        let count = file.read(&mut chunk)?;
        if count == 0 {
            break;
        }
        sha256.update(&chunk[..count]);
        zstd.write_all(&chunk[..count])?;
        size += count as u64;
        if ctx.is_cancelled() {
            return Err(io::ErrorKind::Interrupted.into());
        }
    }
    let sha256 = sha256
        .finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    Ok(Measure {
        size,
        sha256,
        zstd: zstd.finish()?.0,
    })
}

/// Counts what is written to it.
struct Counter(u64);

impl Write for Counter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
