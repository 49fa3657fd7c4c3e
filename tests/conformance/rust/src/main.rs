//! The Rust worker of the conformance suite: one kind for each thing a handler can do.
//!
//! `conformance-rust [--concurrency N]`. The C and Go workers behave the same.

use std::fs::OpenOptions;
use std::io::Write;
use std::process::Command;
use std::thread;
use std::time::Duration;

use hybridrt::{BoxError, Context, Error, Job, Outcome, StopToken, Worker, WorkerBuilder};
use serde::Deserialize;
use serde_json::json;

type Answer = Result<Outcome, BoxError>;

#[derive(Deserialize)]
struct Times {
    n: u64,
}

#[derive(Deserialize)]
struct Snooze {
    n: u64,
    ms: u64,
    path: String,
}

#[derive(Deserialize)]
struct Duty {
    ms: u64,
}

impl Duty {
    fn time(&self) -> Duration {
        Duration::from_millis(self.ms)
    }
}

#[derive(Deserialize)]
struct Follow {
    kind: String,
    queue: String,
    count: u32,
    payload: String,
}

#[derive(Deserialize)]
struct Append {
    path: String,
    text: String,
}

#[derive(Deserialize)]
struct Begun {
    path: String,
}

#[derive(Deserialize)]
struct Large {
    bytes: usize,
}

fn main() -> Result<(), BoxError> {
    let worker = Worker::builder().concurrency(concurrency(std::env::args().skip(1))?);
    let worker = savings(interruptions(effects(endings(worker)))).build()?;
    Ok(worker.run_until(&StopToken::on_signals()?)?)
}

fn concurrency(mut arguments: impl Iterator<Item = String>) -> Result<usize, BoxError> {
    match (arguments.next().as_deref(), arguments.next()) {
        (None, _) => Ok(1),
        (Some("--concurrency"), Some(number)) => Ok(number.parse()?),
        _ => Err("usage: conformance-rust [--concurrency N]".into()),
    }
}

/// Each way to end.
fn endings(worker: WorkerBuilder) -> WorkerBuilder {
    worker
        .handle("conf.echo", |job, _| {
            Ok(Outcome::Result(job.payload().to_vec()))
        })
        .handle("conf.fail", |job, _| Err(text(job).into()))
        .handle_json("conf.fail_until", |times: Times, job, _| {
            if u64::from(job.attempt()) < times.n {
                return Ok(Outcome::RetryAfter(Duration::from_millis(1)));
            }
            Ok(Outcome::Result(job.attempt().to_string().into_bytes()))
        })
        .handle("conf.dead", |job, _| Ok(Outcome::Dead(text(job))))
        .handle("conf.discard", |job, _| Ok(Outcome::Discard(text(job))))
        .handle_json("conf.snooze", |snooze: Snooze, job, _| {
            append(&snooze.path, b".")?;
            let runs = std::fs::metadata(&snooze.path)?.len();
            if runs <= snooze.n {
                return Ok(Outcome::Snooze(Duration::from_millis(snooze.ms)));
            }
            Ok(Outcome::Result(job.attempt().to_string().into_bytes()))
        })
        .handle_json("conf.large", |large: Large, _, _| {
            Ok(Outcome::Result(vec![b'x'; large.bytes]))
        })
        .handle("conf.info", |job, ctx| Outcome::json(&info(job, ctx)))
}

/// What reaches beyond the job itself.
fn effects(worker: WorkerBuilder) -> WorkerBuilder {
    worker
        .handle_json("conf.follow", |follow: Follow, _, ctx| {
            enqueue(&follow, ctx)
        })
        .handle_json("conf.follow_fail", |follow: Follow, _, ctx| {
            enqueue(&follow, ctx)?;
            Err("failed after its follow-up jobs".into())
        })
        .handle_json("conf.append", |line: Append, _, _| {
            append(&line.path, format!("{}\n", line.text).as_bytes())?;
            Ok(Outcome::Done)
        })
        .handle("conf.progress", |_, ctx| {
            ctx.progress(500, "half")?;
            Ok(Outcome::Done)
        })
        .handle_json("conf.extend", |duty: Duty, _, ctx| {
            ctx.extend(duty.time() * 2)?;
            thread::sleep(duty.time());
            Ok(Outcome::Done)
        })
}

/// What goes wrong, and what stops it.
fn interruptions(worker: WorkerBuilder) -> WorkerBuilder {
    worker
        .handle("conf.panic", |job, _| panic!("{}", text(job)))
        .handle("conf.crash", |_, _| crash())
        .handle_json("conf.sleep", |duty: Duty, _, ctx| {
            if ctx.wait_cancelled(duty.time()) {
                return Err("cancelled".into());
            }
            Ok(Outcome::Done)
        })
        .handle_json("conf.ignore", |duty: Duty, _, _| {
            thread::sleep(duty.time());
            Ok(Outcome::Done)
        })
}

/// What the next attempt is left with.
fn savings(worker: WorkerBuilder) -> WorkerBuilder {
    worker
        .handle_json("conf.save_retry", |times: Times, job, ctx| {
            if u64::from(job.attempt()) >= times.n {
                return Ok(Outcome::Result(job.saved().to_vec()));
            }
            ctx.checkpoint(b"not the last one")?;
            ctx.checkpoint(format!("attempt {}", job.attempt()).as_bytes())?;
            Ok(Outcome::RetryAfter(Duration::from_millis(1)))
        })
        .handle("conf.save_crash", |job, ctx| {
            if !job.saved().is_empty() {
                return Ok(Outcome::Result(job.saved().to_vec()));
            }
            ctx.checkpoint(b"before the crash")?;
            crash()
        })
        .handle_json("conf.save_drain", |begun: Begun, job, ctx| {
            if !job.saved().is_empty() {
                return Ok(Outcome::Result(job.saved().to_vec()));
            }
            append(&begun.path, b".")?;
            while !ctx.is_draining() {
                if ctx.wait_cancelled(Duration::from_millis(5)) {
                    return Ok(Outcome::Dead("cancelled".into()));
                }
            }
            ctx.checkpoint(b"half way")?;
            Ok(Outcome::HandBack)
        })
        .handle_json("conf.save_large", |large: Large, _, ctx| {
            Ok(Outcome::Result(
                match ctx.checkpoint(&vec![0; large.bytes]) {
                    Err(Error::TooLarge(_)) => b"too large".to_vec(),
                    other => other.map(|()| b"saved".to_vec())?,
                },
            ))
        })
}

fn crash() -> Answer {
    // The shell's parent is this process.
    Command::new("sh")
        .args(["-c", "kill -KILL $PPID"])
        .status()?;
    loop {
        thread::park();
    }
}

fn text(job: &Job<'_>) -> String {
    String::from_utf8_lossy(job.payload()).into_owned()
}

fn enqueue(follow: &Follow, ctx: &Context<'_>) -> Answer {
    for _ in 0..follow.count {
        ctx.enqueue(&follow.kind, &follow.payload)
            .queue(&follow.queue)
            .send()?;
    }
    Ok(Outcome::Done)
}

/// One write, so that lines of several processes never mix.
fn append(path: &str, bytes: &[u8]) -> Result<(), BoxError> {
    let mut file = OpenOptions::new().append(true).create(true).open(path)?;
    if file.write(bytes)? != bytes.len() {
        return Err("a short write".into());
    }
    Ok(())
}

fn info(job: &Job<'_>, ctx: &Context<'_>) -> serde_json::Value {
    json!({
        "id": job.id(),
        "token": job.token(),
        "attempt": job.attempt(),
        "max_attempts": job.max_attempts(),
        "key": String::from_utf8_lossy(job.key()),
        "meta": base64(job.meta()),
        "kind": job.kind(),
        "queue": job.queue(),
        "deadline": ctx.deadline().is_some(),
    })
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let byte = |index: usize| u32::from(chunk.get(index).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for place in 0..4 {
            let digit = DIGITS[(bits >> (18 - 6 * place)) as usize & 63];
            text.push(if place <= chunk.len() {
                char::from(digit)
            } else {
                '='
            });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::base64;

    #[test]
    fn base64_pads_to_groups_of_four() {
        let cases = ["", "f", "fo", "foo", "foob"].map(|text| base64(text.as_bytes()));
        assert_eq!(cases, ["", "Zg==", "Zm8=", "Zm9v", "Zm9vYg=="]);
    }
}
